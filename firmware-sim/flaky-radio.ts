import { integer } from "./chance.ts";
import { type DeviceKind, PLAIN, tenths } from "./device-kind.ts";

/** A meter behind a bad radio link: QoS 1, loses its connection about once in a hundred messages. */
export const flakyRadio: DeviceKind = {
  ...PLAIN,
  kind: "flaky",
  qos: 1,
  dropChance: 0.01,
  measure: (random, seq) => ({
    meterKwh: tenths(1_000 + seq / 10),
    rssiDbm: -integer(random, 70, 118),
  }),
};
