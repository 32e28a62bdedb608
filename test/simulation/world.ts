/**
 * A whole node under virtual time on one seed: MQTT sessions, a queue with dead letters, a stream with a durable consumer, and an
 * uplink, over a store that loses its unflushed tail in crashes, a network that breaks, a remote that loses acknowledgements and
 * goes away, and a clock that passes. Everything is checked while it happens and once more when the faults are over.
 */
import assert from "node:assert/strict";
import type { Consumer } from "../../src/broker/consumer.ts";
import type { QoS } from "../../src/broker/message.ts";
import type { Queue } from "../../src/broker/queue.ts";
import type { SendOptions } from "../../src/broker/queues.ts";
import type { Stream } from "../../src/broker/stream.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { ProtocolVersion } from "../../src/mqtt/packet.ts";
import { Uplink } from "../../src/uplink/uplink.ts";
import { ModelClient } from "../support/model-client.ts";
import { ScriptedRemote } from "../support/scripted-remote.ts";
import { VirtualNode } from "../support/virtual-node.ts";
import { VirtualTimer } from "../support/virtual-timer.ts";
import { Ledger } from "./ledger.ts";

const SENDING_MAX = 20;
const VISIBILITY_MS = 500;
const DELIVERIES_MAX = 4;
const SETTLE_ROUNDS_MAX = 4_000;
const STREAM = "telemetry";

/** What happened, for the report. */
export interface Tally {
  steps: number;
  crashes: number;
  published: number;
  queued: number;
  appended: number;
  deadLetters: number;
  uplinked: number;
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
  };
  /** The last steps, for a report of what went wrong. */
  readonly trace: string[] = [];
  readonly #random: SeededRandom;
  readonly #timer = new VirtualTimer();
  readonly #remote = new ScriptedRemote(this.#timer);
  readonly #node: VirtualNode;
  readonly #publishers: ModelClient[];
  readonly #subscribers: ModelClient[];
  readonly #queueLedger: Ledger;
  readonly #streamLedger: Ledger;
  /** What was published for a queue or a stream and not acknowledged yet. */
  readonly #promised: { payload: string; publisher: ModelClient; ledger: Ledger }[] = [];
  readonly #sessionPayloads: { payload: string; publisher: ModelClient; qos: QoS }[] = [];
  #uplink: Uplink;
  /** False while everything goes well: at the beginning and at the end. */
  #hasFaults = false;
  #number = 0;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    this.#node = new VirtualNode({
      flushes: "manual",
      streams: [
        {
          name: STREAM,
          filters: ["sim/#"],
          bytesMax: 1e9,
          whenFull: "reject",
          duplicateWindowMs: 1e6,
        },
      ],
      onFlushed: () => this.#uplink?.onFlushed(),
      deliveredBefore: (log) => this.#uplink?.doneBefore(log),
    });
    const ledger = (name: string): Ledger =>
      new Ledger(
        name,
        () => this.#node.store,
        () => this.#node.now,
      );
    this.#queueLedger = ledger("queue");
    this.#streamLedger = ledger("stream");
    const client = (clientId: string, filters: { topicFilter: string; qos: QoS }[]): ModelClient =>
      new ModelClient(this.#node, {
        clientId,
        version: this.#chance(0.5) ? ProtocolVersion.v5 : ProtocolVersion.v311,
        receiveMaximum: 65_535,
        cleanStart: false,
        filters,
      });
    this.#publishers = [client("p0", []), client("p1", [])];
    this.#subscribers = [
      client("s0", [{ topicFilter: "t/#", qos: 2 }]),
      client("s1", [{ topicFilter: "t/+", qos: 1 }]),
    ];
    this.#remote.fate = () => this.#fate();
    this.#uplink = this.#openUplink();
    this.#start();
  }

  get #clients(): ModelClient[] {
    return [...this.#publishers, ...this.#subscribers];
  }

  get #queue(): Queue {
    return this.#open("work");
  }

  get #dead(): Queue {
    return this.#open("dead");
  }

  get #stream(): Stream {
    const stream = this.#node.broker.streams.get(STREAM);
    assert.ok(stream !== undefined);
    return stream;
  }

  get #consumer(): Consumer {
    const { consumers } = this.#node.broker;
    const known = consumers.get(this.#stream, "reader");
    if (known !== undefined) return known;
    const settings = {
      stream: STREAM,
      name: "reader",
      ackWaitMs: VISIBILITY_MS,
      unackedMax: 50,
      deliveriesMax: 0,
    };
    const made = consumers.create(this.#stream, settings, { at: "first" });
    assert.ok(made !== undefined);
    return made;
  }

  /** One thing happens, and is checked. */
  step(): void {
    this.tally.steps++;
    const kinds: readonly [number, string, () => void][] = [
      [20, "publish", () => this.#publish()],
      [10, "send", () => this.#send()],
      [6, "append", () => this.#append()],
      [22, "network", () => this.#network()],
      [18, "flush", () => this.#flush()],
      [4, "seal", () => this.#node.store.seal()],
      [8, "take", () => this.#take()],
      [10, "settle", () => this.#settleSome()],
      [6, "time", () => this.#advance(1 + this.#below(this.#chance(0.1) ? 2_000 : 50))],
      [2, "connection", () => this.#breakConnection()],
      [4, "reconnect", () => this.#connectAll()],
      [1, "remote", () => this.#breakRemote()],
      [0.5, "crash", () => this.#crash()],
    ];
    let at = this.#random.next() * kinds.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, name, act] of kinds) {
      at -= weight;
      if (at > 0) continue;
      this.trace.push(name);
      if (this.trace.length > 40) this.trace.shift();
      act();
      break;
    }
    for (const client of this.#clients) client.collect();
    this.#noteAcknowledged();
  }

  /** The faults are over: everything comes to an end, and nothing is missing. */
  finish(): void {
    this.#hasFaults = false;
    this.#remote.dial = undefined;
    for (let idle = 0, round = 0; idle < 5; round++) {
      assert.ok(round < SETTLE_ROUNDS_MAX, "it never comes to rest");
      this.#connectAll();
      this.#network(20);
      this.#take(100);
      for (const held of [...this.#queueLedger.held]) this.#ack(this.#queueLedger, held);
      for (const held of [...this.#streamLedger.held]) this.#ack(this.#streamLedger, held);
      this.#flush();
      this.#advance(100);
      for (const client of this.#clients) client.collect();
      this.#noteAcknowledged();
      idle = this.#isAtRest() ? idle + 1 : 0;
    }
    this.#check();
  }

  #start(): void {
    this.#queue.settings = {
      ...this.#queue.settings,
      filters: ["q/#"],
      deliveriesMax: DELIVERIES_MAX,
      deadLetterQueue: "dead",
    };
    this.#node.broker.queues.update(this.#queue, this.#queue.settings);
    void this.#dead;
    void this.#consumer;
    this.#node.flushAll();
    this.#uplink.start();
    this.#connectAll();
    for (let i = 0; i < 10; i++) {
      this.#network(10);
      this.#flush();
      for (const client of this.#clients) client.collect();
    }
    this.#hasFaults = true;
  }

  #open(name: string): Queue {
    const queue = this.#node.broker.queues.open(name);
    assert.ok(queue !== undefined);
    return queue;
  }

  #openUplink(): Uplink {
    const { store } = this.#node;
    return new Uplink({
      name: "centre",
      edgeId: "edge",
      lanes: [{ stream: STREAM, class: "normal", log: store.openLog(STREAM) }],
      store,
      driver: this.#remote,
      clock: this.#node.time,
      random: this.#random,
      timer: this.#timer,
      log: () => undefined,
      onLoss: (range) => assert.fail(`the uplink lost ${JSON.stringify(range)}`),
    });
  }

  #publish(): void {
    const publisher = this.#pick(this.#publishers);
    if (!publisher.isConnected || publisher.sendingSize >= SENDING_MAX) return;
    const qos = this.#pick([1, 2] as const);
    const payload = `m${this.#number++}`;
    const kind = this.#pick(["t", "q", "sim"] as const);
    publisher.publish(`${kind}/${this.#below(3)}`, payload, qos);
    this.tally.published++;
    if (kind === "t") this.#sessionPayloads.push({ payload, publisher, qos });
    else {
      const ledger = kind === "q" ? this.#queueLedger : this.#streamLedger;
      ledger.offer(payload, qos === 1);
      this.#promised.push({ payload, publisher, ledger });
    }
  }

  /** Directly, as the native protocol does. */
  #send(): void {
    if (this.#node.store.refusal() !== undefined) return;
    const payload = `d${this.#number++}`;
    const options: SendOptions = {
      ...(this.#chance(0.3) ? { delayMs: this.#below(400) } : {}),
      ...(this.#chance(0.3) ? { messageId: payload } : {}),
    };
    const { queues } = this.#node.broker;
    const message = this.#message("any", payload);
    const result = queues.send(this.#queue, message, options);
    assert.ok(result.isTaken && !result.isDuplicate);
    this.#queueLedger.put(payload, result.commit);
    this.tally.queued++;
    if (options.messageId === undefined || this.#chance(0.5)) return;
    const again = queues.send(this.#queue, message, options);
    assert.ok(again.isTaken && again.isDuplicate, `${payload} was taken twice`);
  }

  #append(): void {
    if (this.#node.store.refusal() !== undefined) return;
    const payloads = Array.from({ length: 1 + this.#below(3) }, () => `a${this.#number++}`);
    const messages = payloads.map((payload) => ({
      message: this.#message("direct", payload),
      messageId: payload,
    }));
    const { nextSequence } = { nextSequence: this.#node.store.nextSequence(this.#stream.log) };
    const result = this.#stream.appendAll(messages, nextSequence, this.#node.now);
    assert.ok(result.isTaken);
    assert.equal(result.sequences[0], nextSequence);
    for (const payload of payloads) this.#streamLedger.put(payload, result.commit);
    this.tally.appended += payloads.length;
  }

  #message(topic: string, payload: string) {
    const bytes = Buffer.from(payload);
    return {
      topic: this.#node.broker.topics.of(topic),
      qos: 1 as const,
      retain: false,
      bytes,
      payloadStart: 0,
      payloadEnd: bytes.length,
      properties: undefined,
      publisherId: "direct",
      receivedAt: this.#node.now,
      expiresAt: undefined,
    };
  }

  #network(count = 1 + this.#below(5)): void {
    const clients = this.#hasFaults ? [this.#pick(this.#clients)] : this.#clients;
    for (const client of clients) {
      if (!this.#hasFaults || this.#chance(0.5)) client.out(count);
      if (!this.#hasFaults || this.#chance(0.5)) client.in(count);
    }
  }

  #flush(): void {
    this.#node.flush();
    this.#queueLedger.onFlushed();
    this.#streamLedger.onFlushed();
  }

  #take(room = 1 + this.#below(5)): void {
    this.#queueLedger.take(this.#queue.deliveries, room, VISIBILITY_MS, DELIVERIES_MAX);
    this.#queueLedger.take(this.#dead.deliveries, room, VISIBILITY_MS);
    this.#streamLedger.take(this.#consumer.deliveries, room, VISIBILITY_MS);
  }

  #settleSome(): void {
    const ledger = this.#pick([this.#queueLedger, this.#streamLedger]);
    const held = this.#pick(ledger.held);
    if (held === undefined) return;
    const { deliveries } = held;
    const how = this.#random.next();
    if (how < 0.6) this.#ack(ledger, held);
    else if (how < 0.8) {
      const delayMs = this.#chance(0.5) ? this.#below(300) : 0;
      ledger.settle(held, (delivery) => deliveries.reject([delivery], delayMs), false);
    } else if (ledger === this.#queueLedger && deliveries === this.#queue.deliveries) {
      const { queues } = this.#node.broker;
      const delayMs = this.#chance(0.3) ? this.#below(300) : 0;
      ledger.settle(
        held,
        (delivery) => queues.requeue(this.#queue, [delivery], this.#queue, delayMs),
        false,
      );
    } else {
      // Forgotten: it comes back by itself.
      ledger.held.splice(ledger.held.indexOf(held), 1);
    }
  }

  #ack(ledger: Ledger, held: Ledger["held"][number]): void {
    ledger.settle(held, (delivery) => held.deliveries.ack([delivery]), true);
  }

  #advance(ms: number): void {
    for (let rest = ms; rest > 0; rest -= 25) {
      const part = Math.min(rest, 25);
      this.#node.advance(part);
      this.#timer.run(part);
    }
  }

  #breakConnection(): void {
    const client = this.#pick(this.#clients);
    if (this.#chance(0.5)) client.lose();
    else client.connect();
  }

  #breakRemote(): void {
    this.#remote.cut();
    this.#remote.dial = this.#chance(0.5) ? { class: "transport", reason: "away" } : undefined;
  }

  #fate() {
    if (!this.#hasFaults || this.#chance(0.9)) return { ackAfterMs: this.#below(20) };
    return this.#chance(0.5) ? {} : { isStored: false };
  }

  #crash(): void {
    this.tally.crashes++;
    this.#remote.cut();
    this.#uplink.stop(0).catch(() => undefined);
    this.#node.crash();
    for (const client of this.#clients) client.brokerCrashed();
    this.#queueLedger.onCrash();
    this.#streamLedger.onCrash();
    this.#uplink = this.#openUplink();
    this.#uplink.start();
  }

  #connectAll(): void {
    for (const client of this.#clients) if (!client.hasNetwork) client.connect();
  }

  /**
   * What publishers were told is acknowledged must come out of queues and streams. What they were not told may come out, too: a message
   * whose acknowledgement was lost; so it is known from its publication on.
   */
  #noteAcknowledged(): void {
    for (let i = this.#promised.length - 1; i >= 0; i--) {
      const promised = this.#promised[i];
      if (promised?.publisher.acknowledged.has(promised.payload) !== true) continue;
      promised.ledger.acknowledged(promised.payload);
      this.#promised.splice(i, 1);
    }
  }

  #isAtRest(): boolean {
    return (
      this.#clients.every((client) => client.isQuiet && client.sendingSize === 0) &&
      this.#queue.messages + this.#dead.messages + this.#consumer.deliveries.size === 0 &&
      this.#uplink.status().lanes[0]?.lagMessages === 0
    );
  }

  #check(): void {
    this.#queueLedger.checkDone();
    this.#streamLedger.checkDone();
    for (const subscriber of this.#subscribers) this.#checkSession(subscriber);
    const ids = this.#remote.stored.filter((id) => !id.startsWith("barrier"));
    assert.equal(new Set(ids).size, ids.length, "the remote stored a record twice");
    const { nextSequence } = this.#node.store.stats(this.#stream.log);
    assert.equal(ids.length, nextSequence - 1, "the remote misses records");
    this.tally.uplinked = ids.length;
    this.tally.deadLetters = this.#node.givenUp.length;
  }

  #checkSession(subscriber: ModelClient): void {
    const counts = new Map<string, number>();
    for (const { payload } of subscriber.deliveries) {
      counts.set(payload, (counts.get(payload) ?? 0) + 1);
    }
    for (const { payload, publisher, qos } of this.#sessionPayloads) {
      const count = counts.get(payload) ?? 0;
      const what = `${subscriber.options.clientId}: ${payload} came ${count} times`;
      if (publisher.acknowledged.has(payload)) assert.ok(count > 0, what);
      if (qos === 2 && subscriber.options.clientId === "s0") assert.ok(count <= 1, what);
    }
  }

  #chance(share: number): boolean {
    return this.#random.next() < share;
  }

  #below(end: number): number {
    return Math.floor(this.#random.next() * end);
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#below(from.length)] as T;
  }
}
