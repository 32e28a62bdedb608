import { SeededRandom } from "../src/lib/random.ts";
import type { Attendant } from "./attendant.ts";
import { fork } from "./chance.ts";
import type { ClientIdentity } from "./client-options.ts";
import type { CommandCounts } from "./command-ledger.ts";
import { Commander } from "./commander.ts";
import { Device, type DeviceCounts } from "./device.ts";
import type { LedgerView } from "./ledger.ts";
import { type Group, type Profile, type Protocol, spread } from "./profile.ts";
import { transportOf } from "./transport.ts";
import { type WillCounts, WillLedger } from "./will-ledger.ts";
import { willObserver } from "./will-observer.ts";

const TICK_MS = 20;
/** A late tick opens at most what was due in this time. */
const START_MS_MAX = 200;
const EXAMPLES_MAX = 10;

/** What a fleet does where nothing else is said. */
export const FLEET_DEFAULTS = {
  /** Connections are opened this fast, as devices that boot after a power cut would. */
  connectsPerSecond: 1_250,
  keepAliveSeconds: 20,
  payloadBytes: 0,
  /** For each device that takes commands. */
  commands: 5,
  commandEveryMs: 400,
} as const;

export interface FleetOptions {
  /** Addresses of one broker; devices take them by turns. Commander and observer take the first. */
  readonly urls: readonly string[];
  /** Certificates (PEM) of authorities to trust, instead of the system's. */
  readonly ca?: string | undefined;
  readonly profile: Profile;
  /** Messages of the whole fleet, spread evenly over the devices whose group does not say it. */
  readonly messages: number;
  /** Messages per second and device. */
  readonly ratePerSecond: number;
  readonly outstandingMax: number;
  readonly seed: number;
  readonly protocol: Protocol;
  /** Appended to every client id, so that two runs against one broker do not share sessions. No `/`, no wildcard. */
  readonly run: string;
  readonly connectsPerSecond?: number | undefined;
  readonly keepAliveSeconds?: number | undefined;
  readonly payloadBytes?: number | undefined;
  readonly commands?: number | undefined;
  readonly commandEveryMs?: number | undefined;
}

/** A moment of a fleet's life, in totals over its devices. */
export interface FleetProgress {
  readonly devices: number;
  readonly connected: number;
  /** Away in good order; they come back. */
  readonly asleep: number;
  readonly done: number;
  readonly messages: number;
  readonly published: number;
  readonly acknowledged: number;
  readonly connects: number;
  /** The part of `connects` over plain TLS whose certificate was verified; WebSocket hides it. */
  readonly secured: number;
  readonly drops: number;
  readonly leaves: number;
  readonly refusals: number;
  readonly sessionsLost: number;
  /** Until every device had been connected once; undefined before. */
  readonly connectSeconds: number | undefined;
  /** Undefined when no device takes commands. */
  readonly commands: CommandCounts | undefined;
  /** Undefined when no device has a will. */
  readonly wills: WillCounts | undefined;
}

/** The addresses that a group's devices may take. */
const urlsOf = (options: Pick<FleetOptions, "urls">, group: Group): readonly string[] =>
  group.transport === undefined
    ? options.urls
    : options.urls.filter((url) => transportOf(url) === group.transport);

/** What is wrong with a profile for these addresses, in one line each; empty: nothing. */
export function addressMistakes(options: Pick<FleetOptions, "urls" | "profile">): string[] {
  return options.profile
    .filter((group) => urlsOf(options, group).length === 0)
    .map(({ kind, transport }) => `no address for ${kind.kind} devices has ${transport}://`);
}

function sharesOf({ profile, messages }: FleetOptions): () => number {
  const takers = profile.filter(({ messagesPerDevice }) => messagesPerDevice === undefined);
  const shares = spread(
    messages,
    takers.reduce((sum, { count }) => sum + count, 0),
  );
  let taken = 0;
  return () => shares[taken++] ?? 0;
}

function protocolVersionOf(protocol: Protocol, index: number): 4 | 5 {
  return protocol === "5" || (protocol === "mixed" && index % 2 === 1) ? 5 : 4;
}

function buildDevices(options: FleetOptions, wills: WillLedger): Device[] {
  const random = new SeededRandom(options.seed);
  const nextShare = sharesOf(options);
  const numbers = new Map<string, number>();
  const devices: Device[] = [];
  for (const group of options.profile) {
    const { kind } = group;
    const urls = urlsOf(options, group);
    for (let i = 0; i < group.count; i++) {
      const number = (numbers.get(kind.kind) ?? 0) + 1;
      numbers.set(kind.kind, number);
      const device = `${kind.kind}-${String(number).padStart(3, "0")}`;
      devices.push(
        new Device({
          device,
          clientId: `${device}-${options.run}`,
          run: options.run,
          kind,
          url: urls[i % urls.length] ?? "",
          ca: options.ca,
          protocolVersion: protocolVersionOf(group.protocol ?? options.protocol, devices.length),
          keepAliveSeconds:
            group.keepAliveSeconds ?? options.keepAliveSeconds ?? FLEET_DEFAULTS.keepAliveSeconds,
          payloadBytes: group.payloadBytes ?? options.payloadBytes ?? FLEET_DEFAULTS.payloadBytes,
          messages: group.messagesPerDevice ?? nextShare(),
          commands: commandsOf(options, group),
          ratePerSecond: group.ratePerSecond ?? options.ratePerSecond,
          outstandingMax: group.outstandingMax ?? options.outstandingMax,
          wills,
          random: fork(random),
        }),
      );
    }
  }
  return devices;
}

function commandsOf(options: FleetOptions, group: Group): number {
  if (!group.kind.takesCommands) return 0;
  return group.commands ?? options.commands ?? FLEET_DEFAULTS.commands;
}

/** The clients that watch a fleet: none for a fleet that only publishes. */
function buildAttendants(options: FleetOptions, devices: readonly Device[], wills: WillLedger) {
  const protocolVersion = devices.some((one) => one.protocolVersion === 5) ? 5 : 4;
  const { run, ca } = options;
  const identityOf = (role: string): ClientIdentity => ({
    clientId: `${role}-${run}`,
    url: options.urls[0] ?? "",
    ca,
    protocolVersion,
  });
  const plans = devices.flatMap((device) =>
    device.commands > 0 ? [{ device, commands: device.commands }] : [],
  );
  const commander =
    plans.length === 0
      ? undefined
      : new Commander({
          ...identityOf("commander"),
          run,
          plans,
          everyMs: options.commandEveryMs ?? FLEET_DEFAULTS.commandEveryMs,
          random: new SeededRandom(options.seed ^ 0x5eed),
        });
  const observer = devices.some(({ kind }) => kind.hasWill)
    ? willObserver(identityOf("observer"), run, wills)
    : undefined;
  return { commander, observer };
}

/** Many simulated devices, driven by one timer, and who watches them. Owns their connections from `start` to `stop`. */
export class Fleet {
  readonly #devices: readonly Device[];
  readonly #wills = new WillLedger();
  readonly #commander: Commander | undefined;
  readonly #observer: Attendant | undefined;
  readonly #connectsPerSecond: number;
  #startCredit = 0;
  #started = 0;
  #startedAtMs = 0;
  #creditAtMs = 0;
  #connectSeconds: number | undefined;
  #hasHeardAll = true;
  #timer: NodeJS.Timeout | undefined;

  /** @throws RangeError when a group has no address */
  constructor(options: FleetOptions) {
    const [mistake] = addressMistakes(options);
    if (mistake !== undefined) throw new RangeError(mistake);
    this.#devices = buildDevices(options, this.#wills);
    const { commander, observer } = buildAttendants(options, this.#devices, this.#wills);
    this.#commander = commander;
    this.#observer = observer;
    this.#connectsPerSecond = options.connectsPerSecond ?? FLEET_DEFAULTS.connectsPerSecond;
  }

  get ledgers(): readonly LedgerView[] {
    return this.#devices.map((device) => device.ledger);
  }

  /** Its devices, to look at. */
  get devices(): readonly Device[] {
    return this.#devices;
  }

  /** Every device has published its share, every handshake is complete, every command is answered and every will that is due was seen. */
  get isDone(): boolean {
    if (this.#commander?.ledger.isDone === false) return false;
    if (!this.#devices.every((device) => device.isDone)) return false;
    return this.#observer === undefined || this.#wills.counts().missing === 0;
  }

  /** What last went wrong, per distinct message, for a report of failure. */
  get errors(): readonly string[] {
    const clients = [...this.#devices, ...this.#attendants];
    return [...new Set(clients.map(({ lastError }) => lastError))].filter(Boolean);
  }

  /**
   * What the fleet found wrong with how the broker treated it, one line each; empty: nothing. Final after `stop`, before which some of it
   * may only be late.
   */
  get problems(): readonly string[] {
    const silence = this.#hasHeardAll
      ? []
      : ["the broker did not answer those who watch to the end"];
    return [...this.#commandProblems(), ...this.#willProblems(), ...silence];
  }

  get #attendants(): readonly Attendant[] {
    return [this.#commander?.attendant, this.#observer].filter((one) => one !== undefined);
  }

  start(): void {
    for (const attendant of this.#attendants) attendant.start();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  progress(): FleetProgress {
    const devices = this.#devices;
    const sum = (count: (device: Device) => number): number =>
      devices.reduce((total, device) => total + count(device), 0);
    const total = (name: keyof DeviceCounts): number => sum((device) => device.counts[name]);
    return {
      devices: devices.length,
      connected: sum((device) => Number(device.isConnected)),
      asleep: sum((device) => Number(device.isAsleep)),
      done: sum((device) => Number(device.isDone)),
      messages: sum((device) => device.messages),
      published: sum((device) => device.ledger.published),
      acknowledged: sum((device) => device.ledger.acknowledged.size),
      connects: total("connects"),
      secured: total("secured"),
      drops: total("drops"),
      leaves: total("leaves"),
      refusals: total("refusals"),
      sessionsLost: total("sessionsLost"),
      connectSeconds: this.#connectSeconds,
      commands: this.#commander?.ledger.counts(),
      wills: this.#observer === undefined ? undefined : this.#wills.counts(),
    };
  }

  /** Stops publishing, closes every connection in good order, and hears out what the broker still has for those who watch. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.allSettled(this.#devices.slice(0, this.#started).map((device) => device.stop()));
    const heard = await Promise.all(this.#attendants.map((attendant) => attendant.barrier()));
    this.#hasHeardAll = heard.every(Boolean);
    await Promise.allSettled(this.#attendants.map((attendant) => attendant.stop()));
  }

  #tick(): void {
    const nowMs = performance.now();
    // Nobody acts before those who watch are there.
    if (this.#attendants.length === 0 || this.#started > 0 || this.#areAttendantsReady) {
      this.#startSome(nowMs);
    }
    for (const device of this.#devices) device.tick(nowMs);
    this.#commander?.tick(nowMs);
  }

  get #areAttendantsReady(): boolean {
    return this.#attendants.every(({ isReady }) => isReady);
  }

  #startSome(nowMs: number): void {
    if (this.#connectSeconds !== undefined) return;
    if (this.#started === 0) {
      this.#startedAtMs = nowMs;
      this.#startCredit = 1;
    } else {
      const elapsedMs = Math.min(nowMs - this.#creditAtMs, START_MS_MAX);
      this.#startCredit += (elapsedMs * this.#connectsPerSecond) / 1_000;
    }
    this.#creditAtMs = nowMs;
    while (this.#startCredit >= 1 && this.#started < this.#devices.length) {
      this.#devices[this.#started]?.start();
      this.#started += 1;
      this.#startCredit -= 1;
    }
    if (this.#started < this.#devices.length) return;
    if (this.#devices.every(({ hasConnected }) => hasConnected)) {
      this.#connectSeconds = (nowMs - this.#startedAtMs) / 1_000;
    }
  }

  #commandProblems(): string[] {
    const ledger = this.#commander?.ledger;
    if (ledger === undefined) return [];
    const { planned, answered, repeated, misrouted, unknown } = ledger.counts();
    return describeAll([
      [planned - answered, "commands without answer", ledger.unanswered(EXAMPLES_MAX).join(", ")],
      [repeated, "answers beyond the first", ""],
      [misrouted, "answers by another way than agreed", ""],
      [unknown, "answers to commands that nobody issued", ""],
    ]);
  }

  #willProblems(): string[] {
    if (this.#observer === undefined) return [];
    const { missing, unjustified, unknown } = this.#wills.counts();
    return describeAll([
      [missing, "accidents whose will nobody saw", ""],
      [unjustified, "wills of devices that had said goodbye", ""],
      [unknown, "wills of connections that nobody opened", ""],
    ]);
  }
}

const describeAll = (rows: readonly (readonly [number, string, string])[]): string[] =>
  rows
    .filter(([count]) => count > 0)
    .map(([count, what, examples]) => `${count} ${what}${examples === "" ? "" : `: ${examples}`}`);
