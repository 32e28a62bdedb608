import { alarm } from "./alarm.ts";
import type { DeviceKind } from "./device-kind.ts";
import { flakyRadio } from "./flaky-radio.ts";
import { responder } from "./responder.ts";
import { sensor } from "./sensor.ts";
import { sleepyMeter } from "./sleepy-meter.ts";
import { tracker } from "./tracker.ts";
import type { Transport } from "./transport.ts";

/** The kinds of devices by name. */
export const KINDS: ReadonlyMap<string, DeviceKind> = new Map(
  [sensor, alarm, flakyRadio, sleepyMeter, responder, tracker].map((kind) => [kind.kind, kind]),
);

/** Which protocol version the devices speak; `mixed` alternates between 3.1.1 and 5.0. */
export type Protocol = "4" | "5" | "mixed";

/** What may be said of one group of devices; what is not said is as the fleet has it. */
export interface GroupSettings {
  /** Messages of each device, instead of its part of the fleet's. */
  readonly messagesPerDevice?: number | undefined;
  /** Messages per second and device. */
  readonly ratePerSecond?: number | undefined;
  readonly outstandingMax?: number | undefined;
  /** Payloads are filled up to this many bytes. */
  readonly payloadBytes?: number | undefined;
  readonly keepAliveSeconds?: number | undefined;
  readonly protocol?: Protocol | undefined;
  /** Only addresses with this transport; undefined: all by turns. */
  readonly transport?: Transport | undefined;
  /** Commands for each device, where the kind takes them. */
  readonly commands?: number | undefined;
}

/** Devices of one kind. */
export interface Group extends GroupSettings {
  readonly kind: DeviceKind;
  readonly count: number;
}

/** How many devices of each kind a fleet has, or in which proportion when a total is given. */
export type Profile = readonly Group[];

/** Ten sensors, three alarms, three flaky radios. */
export const DEFAULT_PROFILE = "sensor=10,alarm=3,flaky=3";

/**
 * Reads `sensor=10,alarm=3,flaky=3`.
 * @throws Error with the offending part when a kind is unknown or a count is not a positive integer.
 */
export function decodeProfile(text: string): Profile {
  return text.split(",").map((part) => {
    const [name = "", count = ""] = part.split("=");
    const kind = KINDS.get(name.trim());
    if (kind === undefined) {
      throw new Error(`unknown kind "${name.trim()}"; known are ${[...KINDS.keys()].join(", ")}`);
    }
    if (!/^[1-9]\d{0,5}$/.test(count.trim())) {
      throw new Error(`"${part.trim()}" must read ${kind.kind}=COUNT`);
    }
    return { kind, count: Number(count) };
  });
}

/** Keeps the proportions of a profile with `devices` devices in all; the first group takes what rounding leaves. */
export function scaleProfile(profile: Profile, devices: number): Profile {
  const total = profile.reduce((sum, { count }) => sum + count, 0);
  const scaled = profile.map((group) => ({
    ...group,
    count: Math.floor((group.count * devices) / total),
  }));
  const [first, ...others] = scaled;
  if (first === undefined) return [];
  const rest = devices - scaled.reduce((sum, { count }) => sum + count, 0);
  return [{ ...first, count: first.count + rest }, ...others];
}

/** Splits `total` messages over `parts` devices as evenly as whole numbers allow. */
export function spread(total: number, parts: number): number[] {
  const share = Math.floor(total / parts);
  const rest = total - share * parts;
  return Array.from({ length: parts }, (_, index) => share + (index < rest ? 1 : 0));
}
