import { type DeviceKind, PLAIN, tenths } from "./device-kind.ts";

/** A vehicle tracker with a will: QoS 1, now and then loses its connection, and now and then is switched off in good order. */
export const tracker: DeviceKind = {
  ...PLAIN,
  kind: "tracker",
  qos: 1,
  dropChance: 0.04,
  stay: { messages: { min: 10, max: 30 }, sleepMs: { min: 200, max: 500 } },
  hasWill: true,
  measure: (random) => ({
    latitude: Math.round((52 + random.next()) * 1e5) / 1e5,
    longitude: Math.round((13 + random.next()) * 1e5) / 1e5,
    speedKmh: tenths(120 * random.next()),
  }),
};
