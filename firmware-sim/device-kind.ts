import type { Random } from "../src/lib/random.ts";

/** What makes one kind of simulated device differ from another. */
export interface DeviceKind {
  /** Last level of its topic, `sim/{deviceId}/{kind}`. */
  readonly kind: string;
  readonly qos: 1 | 2;
  /** Chance per published message that the device's radio drops the connection; 0 for a reliable link. */
  readonly dropChance: number;
  /** The measured fields of one message. `device` and `seq` are added by the device. */
  measure(random: Random, seq: number): Record<string, number | string | boolean>;
}

/** One decimal place, as cheap sensors report. */
export const tenths = (value: number): number => Math.round(value * 10) / 10;
