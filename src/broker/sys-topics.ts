/**
 * What the broker tells about itself under `$SYS/broker/`, in the customary names: current values for whoever subscribes, then what has
 * changed, every interval. Never on disk, never in a stream, always QoS 0. While nobody subscribes only the averages are kept up.
 */
import { after, type Clock, type Instant } from "../lib/clock.ts";
import type { DeadlineHeap } from "../lib/deadline-heap.ts";
import type { Counters } from "./counters.ts";
import type { Due } from "./due.ts";
import { type Message, plainMessage } from "./message.ts";
import { filterMatches, Topic } from "./topic.ts";

/** What the rim knows; asked when somebody wants to know, and for the averages once per interval. */
export interface SystemView {
  /** All since the start of the process, also from before the store was opened again. */
  readonly counters: Readonly<Counters>;
  /** Bytes of MQTT, and network connections, since the start. */
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly socketsOpened: number;
}

/** What only the rim knows and costs something to find out; asked when somebody wants to know. */
export interface SystemCosts {
  /** Messages in logs, and bytes of everything durable. */
  readonly storeMessages: number;
  readonly storeBytes: number;
  readonly heapBytes: number;
  readonly uptimeSeconds: number;
}

export interface SystemOptions {
  readonly intervalMs: number;
  /** Such as `rillmq version 1.2.3`. */
  readonly version: string;
  readonly view: () => SystemView;
  readonly costs: () => SystemCosts;
}

/** What the core knows. */
export interface SystemCore {
  readonly clientsConnected: number;
  readonly clientsMaximum: number;
  readonly clientsTotal: number;
  readonly subscriptions: number;
  readonly sharedSubscriptions: number;
  readonly retainedMessages: number;
}

export interface SysTopicsContext {
  readonly clock: Clock;
  readonly deadlines: DeadlineHeap<Due>;
  readonly core: () => SystemCore;
  /** True when anybody subscribes to anything below `$SYS`. */
  readonly isWanted: () => boolean;
  /** To whoever subscribes, at once, QoS 0. */
  readonly publish: (message: Message) => void;
}

interface Snapshot extends SystemView, SystemCosts, SystemCore {
  readonly at: Instant;
}

const ROOT = "$SYS/broker/";
const utf8 = new TextEncoder();

const received = (c: Readonly<Counters>): number =>
  c.messagesReceivedQos0 + c.messagesReceivedQos1 + c.messagesReceivedQos2;
const sent = (c: Readonly<Counters>): number =>
  c.messagesDeliveredQos0 + c.messagesDeliveredQos1 + c.messagesDeliveredQos2;
const dropped = (c: Readonly<Counters>): number =>
  c.droppedSlowSubscriber +
  c.droppedExpired +
  c.droppedTooLarge +
  c.droppedLost +
  c.droppedOldest +
  c.droppedNotAuthorized;

/** By name below the root. */
const VALUES: readonly (readonly [name: string, value: (s: Snapshot) => number | string])[] = [
  ["uptime", (s) => `${s.uptimeSeconds} seconds`],
  ["clients/connected", (s) => s.clientsConnected],
  ["clients/active", (s) => s.clientsConnected],
  ["clients/disconnected", (s) => s.clientsTotal - s.clientsConnected],
  ["clients/inactive", (s) => s.clientsTotal - s.clientsConnected],
  ["clients/total", (s) => s.clientsTotal],
  ["clients/maximum", (s) => s.clientsMaximum],
  ["clients/expired", (s) => s.counters.sessionsExpired],
  ["messages/received", (s) => s.counters.packetsReceived],
  ["messages/sent", (s) => s.counters.packetsSent],
  ["publish/messages/received", (s) => received(s.counters)],
  ["publish/messages/sent", (s) => sent(s.counters)],
  ["publish/messages/dropped", (s) => dropped(s.counters)],
  ["publish/bytes/received", (s) => s.counters.payloadBytesReceived],
  ["publish/bytes/sent", (s) => s.counters.payloadBytesSent],
  ["bytes/received", (s) => s.bytesReceived],
  ["bytes/sent", (s) => s.bytesSent],
  ["subscriptions/count", (s) => s.subscriptions],
  ["shared_subscriptions/count", (s) => s.sharedSubscriptions],
  ["retained messages/count", (s) => s.retainedMessages],
  ["store/messages/count", (s) => s.storeMessages],
  ["store/messages/bytes", (s) => s.storeBytes],
  ["heap/current", (s) => s.heapBytes],
];

/** Totals whose averages per minute are told. */
const LOADS: readonly (readonly [name: string, total: (v: SystemView) => number])[] = [
  ["messages/received", (v) => v.counters.packetsReceived],
  ["messages/sent", (v) => v.counters.packetsSent],
  ["publish/received", (v) => received(v.counters)],
  ["publish/sent", (v) => sent(v.counters)],
  ["publish/dropped", (v) => dropped(v.counters)],
  ["bytes/received", (v) => v.bytesReceived],
  ["bytes/sent", (v) => v.bytesSent],
  ["sockets", (v) => v.socketsOpened],
  ["connections", (v) => v.counters.connectionsAccepted],
];
const WINDOWS_MINUTES = [1, 5, 15] as const;

/** A total, and its averages per minute over each window: exponential, as customary. */
class Load {
  readonly averages: number[] = WINDOWS_MINUTES.map(() => 0);
  readonly #total: (view: SystemView) => number;
  #last: number;

  constructor(total: (view: SystemView) => number, view: SystemView) {
    this.#total = total;
    this.#last = total(view);
  }

  sample(view: SystemView, elapsedMs: number): void {
    const total = this.#total(view);
    const perMinute = ((total - this.#last) * 60_000) / elapsedMs;
    this.#last = total;
    for (const [i, minutes] of WINDOWS_MINUTES.entries()) {
      const kept = Math.exp(-elapsedMs / (minutes * 60_000));
      this.averages[i] = perMinute + kept * ((this.averages[i] ?? 0) - perMinute);
    }
  }
}

/** One topic. */
interface Entry {
  readonly topic: Topic;
  readonly value: (snapshot: Snapshot) => number | string;
  /** What subscribers were told last. */
  told: string | undefined;
}

const entry = (name: string, value: (snapshot: Snapshot) => number | string): Entry => ({
  topic: new Topic(`${ROOT}${name}`),
  value,
  told: undefined,
});

export class SysTopics implements Due {
  readonly #options: SystemOptions;
  readonly #context: SysTopicsContext;
  readonly #loads: readonly (readonly [name: string, load: Load])[];
  readonly #entries = new Map<string, Entry>();
  #sampledAt: Instant;
  #snapshot: Snapshot | undefined;

  constructor(options: SystemOptions, context: SysTopicsContext) {
    this.#options = options;
    this.#context = context;
    const view = options.view();
    this.#loads = LOADS.map(([name, total]) => [name, new Load(total, view)]);
    this.#sampledAt = context.clock.now();
    for (const one of this.#allEntries()) this.#entries.set(one.topic.text, one);
    this.#schedule();
  }

  /** The topics that a topic filter matches. */
  match(topicFilter: string): Topic[] {
    const found: Topic[] = [];
    for (const { topic } of this.#entries.values()) {
      if (filterMatches(topicFilter, topic.text)) found.push(topic);
    }
    return found;
  }

  /** The present value as a message, as if it were retained; undefined: there is no such topic. */
  get(topic: Topic): Message | undefined {
    const known = this.#entries.get(topic.text);
    if (known === undefined) return undefined;
    return messageOf(known, String(known.value(this.#look())), this.#context.clock.now());
  }

  /** An interval is over. */
  onDue(now: Instant): void {
    this.#schedule();
    const elapsedMs = now - this.#sampledAt;
    // After a clock that stood still there is nothing to average over.
    if (elapsedMs > 0) {
      const view = this.#options.view();
      for (const [, load] of this.#loads) load.sample(view, elapsedMs);
      this.#sampledAt = now;
    }
    this.#snapshot = undefined;
    if (this.#context.isWanted()) this.#publishChanges(now);
  }

  #schedule(): void {
    const { clock, deadlines } = this.#context;
    deadlines.add(after(clock.now(), this.#options.intervalMs), this);
  }

  #publishChanges(now: Instant): void {
    const snapshot = this.#look();
    for (const one of this.#entries.values()) {
      const text = String(one.value(snapshot));
      if (text === one.told) continue;
      one.told = text;
      this.#context.publish(messageOf(one, text, now));
    }
  }

  /** What holds now; found out once per instant. */
  #look(): Snapshot {
    const at = this.#context.clock.now();
    if (this.#snapshot?.at === at) return this.#snapshot;
    const { view, costs } = this.#options;
    this.#snapshot = { ...view(), ...costs(), ...this.#context.core(), at };
    return this.#snapshot;
  }

  #allEntries(): Entry[] {
    const loads = this.#loads.flatMap(([name, load]) =>
      WINDOWS_MINUTES.map((minutes, i) =>
        entry(`load/${name}/${minutes}min`, () => (load.averages[i] ?? 0).toFixed(2)),
      ),
    );
    const values = VALUES.map(([name, value]) => entry(name, value));
    return [entry("version", () => this.#options.version), ...values, ...loads];
  }
}

const messageOf = ({ topic }: Entry, text: string, now: Instant): Message => ({
  ...plainMessage(topic, utf8.encode(text), now),
  qos: 0,
  retain: true,
});
