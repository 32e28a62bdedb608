import { integer } from "./chance.ts";
import { type DeviceKind, PLAIN } from "./device-kind.ts";

/** A valve: QoS 1, reports its position and answers commands. */
export const responder: DeviceKind = {
  ...PLAIN,
  kind: "responder",
  qos: 1,
  takesCommands: true,
  measure: (random) => ({
    positionPercent: integer(random, 0, 100),
    isMoving: random.next() < 0.1,
  }),
};
