import { headers, type MsgHdrs } from "@nats-io/transport-node";
import type { LogRecord } from "../../broker/store.ts";
import type { Clock } from "../../lib/clock.ts";
import { recordId } from "../record-id.ts";

/** JetStream's header for the drop of duplicates. */
export const MESSAGE_ID_HEADER = "Nats-Msg-Id";
/** Marks a barrier; its value is the barrier's own id. */
export const BARRIER_HEADER = "Rill-Barrier";

const UNSAFE = /[%\p{Cc}]|^\s|\s$/gu;

/**
 * Text as the value of a header: `%`, controls and white space at its ends become percent-encoded UTF-8. Plain
 * text stays as it is; `decodeURIComponent` gives the original back.
 */
export function headerValue(text: string): string {
  return text.replace(UNSAFE, encodeURIComponent);
}

/**
 * The headers of a record. Names are ours alone: what a device sends ends in values, or behind the prefix
 * `Rill-User-`, so that it cannot forge an id.
 */
export function recordHeaders(
  edgeId: string,
  stream: string,
  record: LogRecord,
  clock: Clock,
): MsgHdrs {
  const { receivedAt, expiresAt } = record;
  const wallMs = clock.wallOf(receivedAt);
  const built = headers();
  built.set(MESSAGE_ID_HEADER, recordId(edgeId, record.epoch, stream, record.sequence));
  built.set("Rill-Topic", headerValue(record.topic.text));
  built.set("Rill-Time", String(wallMs));
  if (record.qos !== 1) built.set("Rill-Qos", String(record.qos));
  if (record.retain) built.set("Rill-Retain", "1");
  if (expiresAt !== undefined) {
    built.set("Rill-Expires-At", String(wallMs + expiresAt - receivedAt));
  }
  const { properties } = record;
  if (properties === undefined) return built;
  if (properties.isUtf8 === true) built.set("Rill-Payload-Utf8", "1");
  if (properties.contentType !== undefined) {
    built.set("Rill-Content-Type", headerValue(properties.contentType));
  }
  if (properties.responseTopic !== undefined) {
    built.set("Rill-Response-Topic", headerValue(properties.responseTopic));
  }
  if (properties.correlationData !== undefined) {
    built.set("Rill-Correlation-Data", Buffer.from(properties.correlationData).toString("base64"));
  }
  for (const [name, value] of properties.userProperties ?? []) {
    built.append(`Rill-User-${encodeURIComponent(name)}`, headerValue(value));
  }
  return built;
}
