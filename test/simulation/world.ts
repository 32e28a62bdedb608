/**
 * A whole node under virtual time on one seed: MQTT sessions, native connections, a queue with dead letters, streams with durable
 * consumers, events, requests, routes and an uplink, over a store that loses its unflushed tail in crashes, networks that break and readers that are
 * slow, a remote that loses acknowledgements and goes away, and a clock that passes. Everything is checked while it happens and once
 * more when the faults are over.
 */
import assert from "node:assert/strict";
import { SeededRandom } from "../../src/lib/random.ts";
import { ClockPart } from "./clock-part.ts";
import { DirectPart } from "./direct-part.ts";
import { EVENTS, EventsWork } from "./events-work.ts";
import { FullStream, TANK_STREAM } from "./full-stream.ts";
import { Ledger } from "./ledger.ts";
import { MqttPart } from "./mqtt-part.ts";
import { IDLE_MS, REQUESTS_MAX } from "./native-line.ts";
import { NativePart } from "./native-part.ts";
import { ORDER_QUEUES, QueueDevices, TIME_STEP_MS } from "./queue-devices.ts";
import { QueueWork } from "./queue-work.ts";
import { RequestsWork } from "./requests-work.ts";
import { RoutesWork, RULE_TO, RULED } from "./routes-work.ts";
import { type Interest, SessionPart } from "./session-part.ts";
import { Stage, type Step } from "./stage.ts";
import { StreamReaders } from "./stream-readers.ts";
import { CAPTURED, KEPT, StreamWork } from "./stream-work.ts";
import { UplinkPart } from "./uplink-part.ts";

const SETTLE_ROUNDS_MAX = 4_000;
/** How often nothing may be left in a row, and how much time passes then: together longer than what is told once a second. */
const REST_ROUNDS = 4;
const REST_MS = 400;

const NATIVE_LIMITS = {
  frameBytesMax: 1_048_576,
  payloadBytesMax: 1_048_576,
  requestsMax: REQUESTS_MAX,
  batchMax: 1_000,
  subsMax: 100,
  creditMax: 65_535,
  idleMs: IDLE_MS,
};

/** What happened, for the report. */
export interface Tally {
  steps: number;
  crashes: number;
  published: number;
  queued: number;
  appended: number;
  deadLetters: number;
  uplinked: number;
  events: number;
  requests: number;
  replies: number;
  cachedReplies: number;
  routed: number;
  nativeCuts: number;
  orders: number;
  givenUp: number;
  refused: number;
  streamed: number;
  clockJumps: number;
}

export class World {
  readonly tally: Tally = {
    steps: 0,
    crashes: 0,
    published: 0,
    queued: 0,
    appended: 0,
    deadLetters: 0,
    uplinked: 0,
    events: 0,
    requests: 0,
    replies: 0,
    cachedReplies: 0,
    routed: 0,
    nativeCuts: 0,
    orders: 0,
    givenUp: 0,
    refused: 0,
    streamed: 0,
    clockJumps: 0,
  };
  /** The last steps, for a report of what went wrong. */
  readonly trace: string[] = [];
  readonly #stage: Stage;
  readonly #sessions: SessionPart;
  readonly #direct: DirectPart;
  readonly #native: NativePart;
  readonly #queueWork: QueueWork;
  readonly #streamWork: StreamWork;
  readonly #events: EventsWork;
  readonly #requests: RequestsWork;
  readonly #routes: RoutesWork;
  readonly #mqtt: MqttPart;
  readonly #orders: QueueDevices;
  readonly #tank: FullStream;
  readonly #readers: StreamReaders;
  readonly #clock: ClockPart;
  readonly #ledgers: readonly Ledger[];
  readonly #steps: readonly Step[];
  /** Of all steps together. */
  readonly #weight: number;
  #uplink: UplinkPart | undefined;

  constructor(seed: number) {
    const stage = this.#createStage(new SeededRandom(seed));
    this.#stage = stage;
    const ledger = (name: string): Ledger =>
      new Ledger(
        name,
        () => stage.node.store,
        () => stage.node.now,
      );
    const queueLedger = ledger("queue");
    const streamLedger = ledger("consumer");
    const nativeLedger = ledger("native consumer");
    const streamLedgers = [streamLedger, nativeLedger];
    const orderLedger = ledger("orders");
    const tankLedger = ledger("tank");
    this.#ledgers = [queueLedger, ...streamLedgers, orderLedger, tankLedger];
    this.#clock = new ClockPart(stage);
    this.#direct = new DirectPart(stage, queueLedger, streamLedgers, CAPTURED);
    const lines = () => this.#native.lines;
    this.#queueWork = new QueueWork(stage, queueLedger, lines);
    this.#streamWork = new StreamWork(stage, streamLedgers, nativeLedger, lines);
    this.#events = new EventsWork(stage, lines, () => this.#sessions.isHeld);
    this.#requests = new RequestsWork(stage, lines);
    this.#orders = new QueueDevices(stage, orderLedger, lines);
    this.#tank = new FullStream(stage, tankLedger, lines);
    this.#readers = new StreamReaders(stage, this.#streamWork);
    const devices = [this.#orders, this.#tank, this.#readers];
    this.#mqtt = new MqttPart(stage, this.#events, this.#requests.book, devices);
    const ledgers = [queueLedger, streamLedgers] as const;
    this.#routes = new RoutesWork(stage, lines, ...ledgers, this.#streamWork, this.#events);
    const works = [this.#queueWork, this.#streamWork, this.#events, this.#requests, this.#routes];
    this.#native = new NativePart(stage, works, () => this.#mqtt.collect());
    this.#sessions = new SessionPart(stage, [
      { level: "t", interest: undefined, qualities: [1, 2] },
      { level: "q", interest: interestOf([queueLedger]), qualities: [1, 2] },
      { level: "sim", interest: interestOf(streamLedgers), qualities: [1, 2] },
      { level: RULED, interest: this.#routes.interest, qualities: [1, 2] },
      { level: EVENTS, interest: eventInterest(this.#events), qualities: [0, 1, 2] },
    ]);
    const uplink = new UplinkPart(stage, CAPTURED);
    this.#uplink = uplink;
    this.#steps = [
      ...this.#sessions.steps,
      ...this.#direct.steps,
      ...this.#native.steps,
      ...this.#mqtt.steps,
      ...uplink.steps,
      ...this.#clock.steps,
      [30, "flush", () => this.#flush()],
      [9, "seal", () => stage.node.store.seal()],
      [10, "time", () => this.#advance(1 + stage.below(stage.chance(0.1) ? 2_000 : 50))],
      [1.3, "crash", () => this.#crash()],
    ];
    this.#weight = this.#steps.reduce((sum, [weight]) => sum + weight, 0);
    this.#start();
  }

  /** One thing happens, and is checked. */
  step(): void {
    this.tally.steps++;
    let at = this.#stage.random.next() * this.#weight;
    for (const [weight, name, act] of this.#steps) {
      at -= weight;
      if (at > 0) continue;
      this.trace.push(name);
      if (this.trace.length > 40) this.trace.shift();
      act();
      break;
    }
    this.#judge();
  }

  /** The faults are over: everything comes to an end, and nothing is missing. */
  finish(): void {
    this.#stage.hasFaults = false;
    this.#uplink?.drain();
    for (let idle = 0, round = 0; idle < REST_ROUNDS; round++) {
      assert.ok(round < SETTLE_ROUNDS_MAX, `it never comes to rest: ${this.#restless()}`);
      this.#sessions.connectAll();
      this.#sessions.network(20);
      this.#judge();
      this.#native.drain();
      this.#mqtt.drain();
      this.#judge();
      this.#direct.drain();
      this.#flush();
      this.#advance(idle === 0 ? 100 : REST_MS);
      this.#judge();
      this.#mqtt.network(50);
      this.#judge();
      this.#native.network(50);
      this.#native.network(50);
      this.#judge();
      idle = this.#restless() === "" ? idle + 1 : 0;
    }
    for (const ledger of this.#ledgers) ledger.checkDone();
    this.#sessions.check();
    this.#native.check();
    this.#mqtt.check();
    this.tally.published = this.#sessions.published;
    this.tally.queued = this.#direct.queued + this.#queueWork.sent;
    this.tally.appended = this.#direct.appended + this.#streamWork.appended;
    this.tally.uplinked = this.#uplink?.check() ?? 0;
    this.tally.deadLetters = this.#stage.node.givenUp.length;
    this.tally.events = this.#events.delivered;
    this.tally.requests = this.#requests.book.asked;
    this.tally.replies = this.#requests.book.answered;
    this.tally.cachedReplies = this.#requests.book.cached;
    this.tally.routed = this.#routes.routed;
    this.tally.nativeCuts = this.#native.cuts;
    this.tally.orders = this.#orders.offered;
    this.tally.givenUp = this.#orders.givenUp;
    this.tally.refused = this.#orders.refused + this.#tank.refused;
    this.tally.streamed = this.#readers.read;
    this.tally.clockJumps = this.#clock.jumps;
  }

  #createStage(random: SeededRandom): Stage {
    const stream = { bytesMax: 1e9, whenFull: "reject", duplicateWindowMs: 1e9 } as const;
    const isTight = random.next() < 0.5;
    return new Stage(random, {
      flushes: "manual",
      ...(isTight ? { pendingBytesMax: 2_000 + Math.floor(random.next() * 8_000) } : {}),
      native: { limits: NATIVE_LIMITS, helloTimeoutMs: 2 * IDLE_MS, holdMaxMs: 400 },
      streams: [
        { ...stream, name: CAPTURED, filters: ["sim/#"] },
        { ...stream, name: KEPT, filters: [], retain: "limits" },
        TANK_STREAM,
      ],
      queues: ORDER_QUEUES,
      connection: { allowsPatternTopics: true },
      routing: { routes: new Map(), rules: [{ filter: `${RULED}/#`, to: RULE_TO }] },
      onFlushed: () => this.#uplink?.onFlushed(),
      deliveredBefore: (log) => this.#uplink?.doneBefore(log),
    });
  }

  #start(): void {
    this.#direct.start();
    this.#tank.start();
    this.#stage.node.flushAll();
    this.#uplink?.start();
    for (let i = 0; i < 10; i++) {
      this.#sessions.connectAll();
      this.#native.dialAll();
      this.#sessions.network(10);
      this.#judge();
      this.#mqtt.connectAll();
      this.#native.network(10);
      this.#mqtt.network(10);
      this.#flush();
      this.#judge();
    }
    this.#stage.hasFaults = true;
  }

  #judge(): void {
    this.#native.judge();
    this.#sessions.judge();
    this.#mqtt.checkBounds();
    this.#clock.judge();
  }

  #flush(): void {
    this.#stage.node.flush();
    for (const ledger of this.#ledgers) ledger.onFlushed();
    this.#clock.onFlushed();
  }

  #advance(ms: number): void {
    for (let rest = ms; rest > 0; rest -= TIME_STEP_MS) {
      const part = Math.min(rest, TIME_STEP_MS);
      this.#stage.node.advance(part);
      this.#native.judge();
      this.#uplink?.timer.run(part);
    }
  }

  #crash(): void {
    this.tally.crashes++;
    this.#uplink?.crashing();
    this.#clock.crash();
    this.#sessions.crashed();
    this.#mqtt.crashed();
    this.#native.crashed();
    for (const ledger of this.#ledgers) ledger.onCrash();
    this.#uplink?.restarted();
  }

  /** What has not come to its end yet. */
  #restless(): string {
    const parts: readonly (readonly [string, boolean | undefined])[] = [
      ["sessions", this.#sessions.isAtRest],
      ["native clients", this.#native.isQuiet],
      ["MQTT clients", this.#mqtt.isQuiet],
      ["queues and consumers", this.#direct.isAtRest],
      ["uplink", this.#uplink?.isAtRest],
    ];
    return parts.flatMap(([name, isAtRest]) => (isAtRest ? [] : [name])).join(", ");
  }
}

/** What is published goes to whoever listens. */
function eventInterest(events: EventsWork): Interest {
  return {
    offered: () => undefined,
    acknowledged: () => undefined,
    arriving: (payload, topic, qos, publisherId) =>
      events.arrived(payload, topic, publisherId, qos),
  };
}

/** What is published goes into these as well. */
function interestOf(ledgers: readonly Ledger[]): Interest {
  return {
    offered: (payload, _topic, qos) => {
      for (const ledger of ledgers) ledger.offer(payload, qos === 1);
    },
    acknowledged: (payload) => {
      for (const ledger of ledgers) ledger.acknowledged(payload);
    },
  };
}
