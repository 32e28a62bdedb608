import type { Failure, FailureClass } from "../remote.ts";

/** "Unsupported protocol version": 3.1.1 code 1, MQTT 5 reason 0x84. */
export function isVersionRefusal(error: unknown): boolean {
  const code = reasonCodeOf(error);
  return code === 1 || code === 0x84;
}

/** The MQTT reason in an error of MQTT.js; undefined: it is about something else. */
export function reasonCodeOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "number" ? error.code : undefined;
}

/** Text of an error; MQTT.js gives some without a message. */
export function describeError(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(describeError).join("; ");
  if (!(error instanceof Error)) return String(error);
  return error.message || error.name;
}

function hex(code: number): string {
  return `0x${code.toString(16).padStart(2, "0")}`;
}

/** Reasons that end a connection or refuse one [MQTT 5.0 section 2.4; MQTT 3.1.1 table 3.1]. */
const CONNECTION_CLASSES: ReadonlyMap<number, FailureClass> = new Map<number, FailureClass>([
  [0x02, "config"],
  [0x04, "auth"],
  [0x05, "auth"],
  [0x85, "config"],
  [0x86, "auth"],
  [0x87, "auth"],
  [0x8a, "auth"],
  [0x8c, "auth"],
  [0x8e, "fenced"],
  [0x96, "throttle"],
  [0x97, "throttle"],
  [0x9f, "throttle"],
]);

/**
 * Reasons of a DISCONNECT that are about a PUBLISH before it [MQTT 5.0 section 3.14.2.1]: not authorized, topic name
 * invalid, packet too large, payload format invalid, retain or QoS not supported.
 */
const ABOUT_RECORD: ReadonlySet<number> = new Set([0x87, 0x90, 0x95, 0x99, 0x9a, 0x9b]);

/**
 * Why the connection is gone, or was refused.
 * @param isConnected whether the remote had taken the connection before
 */
export function connectionFailure(
  code: number | undefined,
  error: unknown,
  isConnected: boolean,
): Failure {
  const text = error === undefined ? "the remote closed the connection" : describeError(error);
  if (code === undefined) {
    // The peer's TLS says with an alert that it does not take our certificate.
    const isAlert = /alert/i.test(text);
    return { class: isAlert ? "auth" : "transport", reason: text };
  }
  if (isConnected && ABOUT_RECORD.has(code)) {
    return { class: "transport", reason: `${text} (${hex(code)})`, isAboutRecord: true };
  }
  return { class: CONNECTION_CLASSES.get(code) ?? "transport", reason: `${text} (${hex(code)})` };
}

/** What refuses a PUBLISH by its PUBACK, by what it is about [MQTT 5.0 section 3.4.2.1]. */
const PUBLISH_CLASSES: ReadonlyMap<number, FailureClass> = new Map<number, FailureClass>([
  [0x87, "poison"],
  [0x90, "poison"],
  [0x95, "poison"],
  [0x96, "throttle"],
  [0x97, "throttle"],
  [0x99, "poison"],
]);

/** Why a PUBLISH was refused by its PUBACK. Without a reason that is about the record it is the lane's. */
export function publishFailure(code: number, error: unknown): Failure {
  const reason = `${describeError(error)} (${hex(code)})`;
  return { class: PUBLISH_CLASSES.get(code) ?? "lane", reason };
}
