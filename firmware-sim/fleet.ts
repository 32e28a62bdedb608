import { SeededRandom } from "../src/lib/random.ts";
import { fork } from "./chance.ts";
import { Device } from "./device.ts";
import type { LedgerView } from "./ledger.ts";
import { type Profile, spread } from "./profile.ts";

const TICK_MS = 20;
/** Connections are opened a few at a time, as devices that boot after a power cut would. */
const STARTS_PER_TICK = 25;

/** Which protocol version the devices speak; `mixed` alternates between 3.1.1 and 5.0. */
export type Protocol = "4" | "5" | "mixed";

export interface FleetOptions {
  readonly url: string;
  readonly profile: Profile;
  /** Messages of the whole fleet, spread evenly over the devices. */
  readonly messages: number;
  /** Messages per second and device. */
  readonly ratePerSecond: number;
  readonly outstandingMax: number;
  readonly seed: number;
  readonly protocol: Protocol;
  /** Appended to every client id, so that two runs against one broker do not share sessions. */
  readonly run: string;
}

/** A moment of a fleet's life, in totals over its devices. */
export interface FleetProgress {
  readonly devices: number;
  readonly connected: number;
  readonly done: number;
  readonly messages: number;
  readonly published: number;
  readonly acknowledged: number;
  readonly connects: number;
  readonly drops: number;
  readonly refusals: number;
  readonly sessionsLost: number;
}

function buildDevices(options: FleetOptions): Device[] {
  const random = new SeededRandom(options.seed);
  const kinds = options.profile.flatMap(({ kind, count }) =>
    Array.from({ length: count }, (_, index) => ({ kind, number: index + 1 })),
  );
  const shares = spread(options.messages, kinds.length);
  return kinds.map(({ kind, number }, index) => {
    const device = `${kind.kind}-${String(number).padStart(3, "0")}`;
    const isFive = options.protocol === "5" || (options.protocol === "mixed" && index % 2 === 1);
    return new Device({
      device,
      clientId: `${device}-${options.run}`,
      kind,
      url: options.url,
      protocolVersion: isFive ? 5 : 4,
      messages: shares[index] ?? 0,
      ratePerSecond: options.ratePerSecond,
      outstandingMax: options.outstandingMax,
      random: fork(random),
    });
  });
}

/** Many simulated devices, driven by one timer. Owns their connections from `start` to `stop`. */
export class Fleet {
  readonly #devices: readonly Device[];
  readonly #messages: number;
  #started = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FleetOptions) {
    this.#devices = buildDevices(options);
    this.#messages = options.messages;
  }

  get ledgers(): readonly LedgerView[] {
    return this.#devices.map((device) => device.ledger);
  }

  /** Every device has published its share and every handshake is complete. */
  get isDone(): boolean {
    return this.#devices.every((device) => device.isDone);
  }

  /** What last went wrong, per distinct message, for a report of failure. */
  get errors(): readonly string[] {
    return [...new Set(this.#devices.map((device) => device.lastError))].filter(Boolean);
  }

  start(): void {
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  progress(): FleetProgress {
    const sum = (count: (device: Device) => number): number =>
      this.#devices.reduce((total, device) => total + count(device), 0);
    return {
      devices: this.#devices.length,
      connected: sum((device) => Number(device.isConnected)),
      done: sum((device) => Number(device.isDone)),
      messages: this.#messages,
      published: sum((device) => device.ledger.published),
      acknowledged: sum((device) => device.ledger.acknowledged.size),
      connects: sum((device) => device.counts.connects),
      drops: sum((device) => device.counts.drops),
      refusals: sum((device) => device.counts.refusals),
      sessionsLost: sum((device) => device.counts.sessionsLost),
    };
  }

  /** Stops publishing and closes every connection. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.allSettled(this.#devices.slice(0, this.#started).map((device) => device.stop()));
  }

  #tick(): void {
    const startsMax = Math.min(this.#started + STARTS_PER_TICK, this.#devices.length);
    for (; this.#started < startsMax; this.#started++) this.#devices[this.#started]?.start();
    const nowMs = performance.now();
    for (const device of this.#devices) device.tick(nowMs);
  }
}
