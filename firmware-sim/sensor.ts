import { type DeviceKind, PLAIN, tenths } from "./device-kind.ts";

/** A climate sensor on a cable: QoS 1, slow daily swing with noise. */
export const sensor: DeviceKind = {
  ...PLAIN,
  kind: "sensor",
  qos: 1,
  measure: (random, seq) => ({
    temperatureC: tenths(21 + 4 * Math.sin(seq / 200) + random.next()),
    humidityPercent: tenths(45 + 10 * random.next()),
    batteryV: tenths(3 + 0.3 * random.next()),
  }),
};
