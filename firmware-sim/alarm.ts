import { integer } from "./chance.ts";
import { type DeviceKind, PLAIN } from "./device-kind.ts";

const CODES = ["door-open", "over-pressure", "smoke", "vibration"] as const;

/** An alarm contact: QoS 2, because nobody wants to count one alarm twice. */
export const alarm: DeviceKind = {
  ...PLAIN,
  kind: "alarm",
  qos: 2,
  measure: (random) => ({
    code: CODES[integer(random, 0, CODES.length - 1)] ?? "smoke",
    severity: integer(random, 1, 5),
    isRaised: random.next() < 0.5,
  }),
};
