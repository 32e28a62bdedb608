import { type DeviceKind, PLAIN, tenths } from "./device-kind.ts";

/**
 * A water meter on a battery: QoS 1, wakes up, sends a few readings, takes the commands that waited in its session and sleeps again.
 */
export const sleepyMeter: DeviceKind = {
  ...PLAIN,
  kind: "sleepy",
  qos: 1,
  stay: { messages: { min: 5, max: 8 }, sleepMs: { min: 400, max: 1_000 } },
  takesCommands: true,
  measure: (random, seq) => ({
    meterLitres: seq * 10 + Math.floor(random.next() * 10),
    batteryV: tenths(2.8 + 0.4 * random.next()),
  }),
};
