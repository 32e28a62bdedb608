import type { Random } from "../src/lib/random.ts";

/** Whole numbers from `min` to `max`, both included. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/** A device that leaves after some messages and comes back. */
export interface Stay {
  /** Messages per stay. */
  readonly messages: Range;
  /** How long it is away. */
  readonly sleepMs: Range;
}

/** What makes one kind of simulated device differ from another. */
export interface DeviceKind {
  /** Last level of its topic, `sim/{deviceId}/{kind}`. */
  readonly kind: string;
  readonly qos: 1 | 2;
  /** Chance per published message that the device's radio drops the connection; 0 for a reliable link. */
  readonly dropChance: number;
  /** Undefined: it stays for as long as the fleet runs. */
  readonly stay: Stay | undefined;
  /** Whether it leaves a will on `sim/{deviceId}/status` when it connects. */
  readonly hasWill: boolean;
  /** Whether it takes commands from `cmd/{deviceId}/{requestId}` and answers them. */
  readonly takesCommands: boolean;
  /** The measured fields of one message. `device` and `seq` are added by the device. */
  measure(random: Random, seq: number): Record<string, number | string | boolean>;
}

/** A device on a reliable link that publishes and does nothing else. */
export const PLAIN = {
  dropChance: 0,
  stay: undefined,
  hasWill: false,
  takesCommands: false,
} as const;

/** One decimal place, as cheap sensors report. */
export const tenths = (value: number): number => Math.round(value * 10) / 10;
