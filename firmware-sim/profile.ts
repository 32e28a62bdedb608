import { alarm } from "./alarm.ts";
import type { DeviceKind } from "./device-kind.ts";
import { flakyRadio } from "./flaky-radio.ts";
import { sensor } from "./sensor.ts";

const KINDS: ReadonlyMap<string, DeviceKind> = new Map(
  [sensor, alarm, flakyRadio].map((kind) => [kind.kind, kind]),
);

/** How many devices of each kind a fleet has, or in which proportion when a total is given. */
export type Profile = readonly { readonly kind: DeviceKind; readonly count: number }[];

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

/** Keeps the proportions of a profile with `devices` devices in all; the first kind takes what rounding leaves. */
export function scaleProfile(profile: Profile, devices: number): Profile {
  const total = profile.reduce((sum, { count }) => sum + count, 0);
  const scaled = profile.map(({ kind, count }) => ({
    kind,
    count: Math.floor((count * devices) / total),
  }));
  const first = scaled[0];
  if (first === undefined) return [];
  const rest = devices - scaled.reduce((sum, { count }) => sum + count, 0);
  return [{ kind: first.kind, count: first.count + rest }, ...scaled.slice(1)];
}

/** Splits `total` messages over `parts` devices as evenly as whole numbers allow. */
export function spread(total: number, parts: number): number[] {
  const share = Math.floor(total / parts);
  const rest = total - share * parts;
  return Array.from({ length: parts }, (_, index) => share + (index < rest ? 1 : 0));
}
