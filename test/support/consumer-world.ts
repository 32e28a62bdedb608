/** Durable consumers of one stream in a real broker on a virtual clock, beside the model of them: each step is done to both, then they are compared. */
import assert from "node:assert/strict";
import type { Start } from "../../src/native/frame.ts";
import { checkConsumers, checkFrames } from "./consumer-checks.ts";
import { ConsumerModel } from "./consumer-model.ts";
import type { ModelConsumer, ModelSettings, ModelSub, Retention } from "./consumer-model-state.ts";
import { type Answer, type NativeClient, textOf } from "./native-client.ts";
import { PendingAnswers, type WaitsFor } from "./pending-answers.ts";
import { VirtualNode } from "./virtual-node.ts";

export const CLIENTS = 3;
const STREAM = "s";
const DEAD = "dead";
const TOPICS = ["t/0", "t/1"] as const;

/** Somebody who consumes once a commit is on disk. */
interface Starting {
  readonly consumer: number;
  readonly client: number;
  readonly commit: number;
  readonly start: () => void;
}

interface Address {
  readonly client: number;
  readonly id: number;
}

export interface ConsumeStep extends ModelSettings {
  readonly name: string;
  readonly from: Start;
  readonly credit: number;
  readonly isGroup: boolean;
}

export class ConsumerWorld {
  readonly node = new VirtualNode({ flushes: "manual" });
  readonly model: ConsumerModel;
  #clients: NativeClient[] = [];
  readonly #answers = new PendingAnswers(() => this.node.store);
  #starting: Starting[] = [];
  /** Where the subs of the model are, those that have just ended among them. */
  readonly #addresses = new Map<number, Address>();
  #appended = 0;

  constructor(retention: Retention) {
    const { messagesMax, ageMaxMs, isUntilDelivered } = retention;
    const maker = this.node.native("maker");
    maker.begin({
      op: "stream.create",
      stream: STREAM,
      retain: isUntilDelivered ? "until-delivered" : "limits",
      ...(messagesMax === undefined ? {} : { maxMessages: messagesMax, whenFull: "drop-oldest" }),
      ...(ageMaxMs === undefined ? {} : { maxAgeMs: ageMaxMs }),
    });
    maker.begin({ op: "stream.create", stream: DEAD, retain: "limits" });
    this.node.flushAll();
    maker.drop();
    this.model = new ConsumerModel(
      retention,
      (stamp) => this.now - this.node.time.since(this.#instant(stamp)),
    );
    this.#connect();
  }

  get now(): number {
    return this.node.now;
  }

  /** Subs, oldest first. */
  get subs(): ModelSub[] {
    return [...this.model.subs.values()];
  }

  append(count: number, topic: number, expiryMs: number | undefined): void {
    const name = TOPICS[topic % TOPICS.length] ?? TOPICS[0];
    const texts = Array.from({ length: count }, () => `r${this.#appended++}`);
    const expiry = expiryMs === undefined ? {} : { expiryMs };
    const messages = texts.map((text) => ({ topic: name, payload: Buffer.from(text), ...expiry }));
    const first = this.model.state.nextSequence;
    this.#ask(0, { op: "append", stream: STREAM, messages }, (answer) => {
      assert.deepEqual(
        answer["sequences"],
        texts.map((_, i) => first + i),
      );
    });
    this.model.append(texts, name, this.now, expiryMs);
  }

  consume(client: number, step: ConsumeStep): void {
    const { name, from, credit, isGroup, filter, deliveriesMax, ...numbers } = step;
    const known = this.model.state.consumers.get(name);
    // Which of its subs gets what the other leaves would not be known.
    if (isGroup && known !== undefined && this.#takesPart(client, known)) return;
    const settings = {
      ...numbers,
      filter: filter ?? known?.settings.filter,
      // 0 is what one says nothing of has.
      deliveriesMax: deliveriesMax > 0 ? deliveriesMax : (known?.settings.deliveriesMax ?? 0),
    };
    const isChanged = known === undefined || !isSame(known.settings, settings);
    // More of them are handed out from the next commit on, or when something else happens before.
    const isMore = known !== undefined && known.settings.unackedMax < settings.unackedMax;
    const consumer = known ?? this.model.create(name, settings, this.#startOf(from));
    consumer.settings = settings;
    let sub: ModelSub | undefined;
    const start = (): void => {
      sub = this.model.start(consumer.key, isGroup, credit, this.now);
    };
    const frame = {
      op: "consume",
      stream: STREAM,
      consumer: name,
      deadLetterStream: DEAD,
      ...{ from, credit, isGroup, ...numbers },
      ...(filter === undefined ? {} : { filter }),
      ...(deliveriesMax === 0 ? {} : { deliveriesMax }),
    };
    const check = (answer: Answer): void => {
      assert.equal(answer["isNew"], known === undefined);
      if (sub !== undefined) this.#addresses.set(sub.key, { client, id: answer["sub"] as number });
    };
    const commit = this.#ask(client, frame, check, isChanged ? "commit" : "others");
    if (commit <= this.node.store.flushedCommit) start();
    else this.#starting.push({ consumer: consumer.key, client, commit, start });
    if (isMore) this.flushAll();
  }

  #takesPart(client: number, consumer: ModelConsumer): boolean {
    const subs = this.model.subsOf(consumer);
    const isStarting = this.#starting.some(
      (one) => one.client === client && one.consumer === consumer.key,
    );
    return isStarting || subs.some((sub) => this.#addressOf(sub).client === client);
  }

  /** Where a new consumer begins. */
  #startOf(from: Start): number {
    const { first, flushedEnd, visible, state } = this.model;
    const { time } = this.node;
    if ("sequence" in from) return Math.max(from.sequence, first);
    if ("timeAt" in from) {
      const found = visible.find(({ at }) => time.wallOf(this.#instant(at)) >= from.timeAt);
      return found?.sequence ?? flushedEnd;
    }
    if ("agoMs" in from) {
      const found = visible.find(({ at }) => time.since(this.#instant(at)) <= from.agoMs);
      return found?.sequence ?? flushedEnd;
    }
    if (from.at === "new") return state.nextSequence;
    return from.at === "first" ? first : Math.max(first, flushedEnd - 1);
  }

  addCredit(sub: ModelSub, add: number): void {
    const { client, id } = this.#addressOf(sub);
    this.#client(client).send({ op: "credit", sub: id, add });
    sub.credit += add;
    const consumer = this.model.consumerOf(sub);
    if (consumer !== undefined) this.model.pump(consumer, this.now);
  }

  settle(
    sub: ModelSub,
    op: "ack" | "reject",
    sequences: readonly number[],
    upTo: number | undefined,
    delayMs: number,
  ): void {
    const { client, id } = this.#addressOf(sub);
    const covered = [...sub.delivered.keys()].filter((one) => upTo !== undefined && one <= upTo);
    const meant = [...new Set([...sequences, ...covered])];
    const frame = {
      ...{ op, sub: id, sequences },
      ...(upTo === undefined ? {} : { upTo }),
      ...(op === "reject" ? { delayMs } : {}),
    };
    let expired: number[] = [];
    const check = (answer: Answer): void => {
      const isRefused = meant.length > 0 && expired.length === meant.length;
      assert.equal(answer.op, isRefused ? "error" : "ok", JSON.stringify(answer));
      const told = (answer["expired"] ?? []) as number[];
      if (!isRefused) assert.deepEqual([...told].sort(ascending), [...expired].sort(ascending));
    };
    // The state changes in the same turn: which commit the answer waits for is known behind it.
    expired = this.model.settle(sub, op, meant, delayMs, this.now);
    const isNothing = meant.length === expired.length;
    const waits = !isNothing ? "commit" : meant.length === 0 ? "others" : "nothing";
    this.#ask(client, frame, check, waits);
  }

  unsubscribe(sub: ModelSub): void {
    const { client, id } = this.#addressOf(sub);
    this.#client(client).send({ op: "unsubscribe", id: 1_000_000_000, sub: id });
    this.model.leave(sub, this.now);
  }

  /** The network connection is gone; the client is there again at once. */
  drop(client: number): void {
    const gone = this.#client(client);
    gone.drop();
    this.#answers.forget(gone);
    this.#starting = this.#starting.filter((one) => one.client !== client);
    for (const sub of this.subs) {
      if (this.#addressOf(sub).client === client) this.model.leave(sub, this.now);
    }
    for (const [key, address] of this.#addresses) {
      if (address.client === client) this.#addresses.delete(key);
    }
    this.#clients[client] = this.node.native(`c${client}`);
  }

  delete(consumer: ModelConsumer): void {
    this.#ask(
      0,
      { op: "consumer.delete", stream: STREAM, consumer: consumer.name },
      () => undefined,
    );
    this.model.delete(consumer);
  }

  purge(before: number | undefined): void {
    const count = this.model.purge(before);
    const frame = {
      op: "stream.purge",
      stream: STREAM,
      ...(before === undefined ? {} : { before }),
    };
    const check = (answer: Answer): void => assert.equal(answer["count"], count);
    this.#ask(0, frame, check, count === 0 ? "others" : "commit");
  }

  seal(): void {
    if (this.node.store.seal()) this.model.seal();
  }

  /** One commit; false: there was nothing. */
  flush(): boolean {
    if (!this.node.flush()) return false;
    const { store } = this.node;
    this.model.flush(this.#firstSequence, this.now, () => {
      const ready = this.#starting.filter(({ commit }) => commit <= store.flushedCommit);
      this.#starting = this.#starting.filter((one) => !ready.includes(one));
      for (const waiting of this.#answers.waiting) {
        for (const { client, start } of ready) if (this.#client(client) === waiting) start();
      }
    });
    this.seal();
    return true;
  }

  flushAll(): void {
    const { flushedEnd } = this.model;
    while (this.flush()) this.compare();
    const { messagesMax } = this.model.retention;
    // Limits are looked at when something was appended.
    if (messagesMax !== undefined && this.model.flushedEnd > flushedEnd) {
      assert.ok(this.model.visible.length <= messagesMax, "more than the stream may hold");
    }
  }

  crash(offMs: number): void {
    this.node.off(offMs);
    this.#answers.forgetAll();
    this.#starting = [];
    assert.equal(this.#firstSequence, this.model.first);
    this.model.crash(this.now);
    this.#addresses.clear();
    this.#connect();
  }

  advance(ms: number): void {
    const before = this.now;
    // A client that says nothing for a minute is given up.
    for (const client of this.#clients) client.send({ op: "pong" });
    this.node.advance(ms);
    this.model.advance(before, this.now);
  }

  /** The wall clock is set, and is believed or not; the broker looks at it. */
  setWall(stepMs: number, isTrusted: boolean): void {
    const { wall, time, broker } = this.node;
    wall.aheadMs += stepMs;
    wall.isTrusted = isTrusted;
    if (time.observe()) broker.onAged();
    // What is due by then is served a millisecond later.
    this.node.advance(1);
    this.model.advance(this.now, this.now);
  }

  /** What clients got is what the model says, and what the broker shows is what it has. */
  compare(): void {
    this.#answers.check();
    for (const [client, native] of this.#clients.entries()) {
      checkFrames(this.model, native, (sub) => this.#keyOf(client, sub));
    }
    for (const [consumer, left] of this.model.handed) {
      assert.deepEqual(left, [], `consumer ${consumer} did not hand out all that it should`);
    }
    assert.deepEqual(this.model.ended, [], "subs are not told that they have ended");
    assert.deepEqual(this.model.lost, [], "subs are not told what is lost");
    this.model.startLooking();
    checkConsumers(this.node.broker, this.model, STREAM);
  }

  /** Everything is handed out and settled in the end, and the stream lets go of it. */
  drain(): void {
    this.flushAll();
    for (const { name, settings } of this.model.consumers) {
      this.consume(0, {
        ...settings,
        name,
        from: { at: "new" },
        credit: 10_000,
        isGroup: false,
        unackedMax: 100,
      });
    }
    this.flushAll();
    for (let i = 0; this.model.consumers.some((one) => this.model.unsettledOf(one) > 0); i++) {
      assert.ok(i < 100, "it is never done");
      for (const sub of this.subs) {
        if (sub.delivered.size > 0)
          this.settle(sub, "ack", [...sub.delivered.keys()], undefined, 0);
      }
      this.flushAll();
      this.advance(6_000);
      this.compare();
    }
    this.flushAll();
    this.advance(1_100);
    this.flushAll();
    const { retention, consumers, first, flushedEnd, state } = this.model;
    const isKept = state.consumers.size === 0 || !retention.isUntilDelivered;
    const needed = Math.min(flushedEnd, ...consumers.map(({ floor }) => floor));
    if (!isKept) assert.equal(first, needed, "the stream does not let go of what all have");
    const answer = this.#client(0).ok({ op: "read", stream: DEAD, from: { at: "first" } });
    const dead = (answer["records"] as { payload: Uint8Array }[]).map(({ payload }) =>
      textOf(payload),
    );
    assert.deepEqual(dead.sort(), [...state.dead].sort());
  }

  #ask(
    client: number,
    frame: Readonly<Record<string, unknown>>,
    check: (answer: Answer) => void,
    waitsFor: WaitsFor = "commit",
  ): number {
    return this.#answers.ask(this.#client(client), frame, check, waitsFor);
  }

  #connect(): void {
    this.#clients = Array.from({ length: CLIENTS }, (_, i) => this.node.native(`c${i}`));
  }

  get #firstSequence(): number {
    const stream = this.node.broker.streams.get(STREAM);
    assert.ok(stream !== undefined);
    return this.node.store.stats(stream.log).firstSequence;
  }

  #client(index: number): NativeClient {
    const client = this.#clients[index % CLIENTS];
    assert.ok(client !== undefined);
    return client;
  }

  #addressOf({ key }: ModelSub): Address {
    const address = this.#addresses.get(key);
    assert.ok(address !== undefined);
    return address;
  }

  #keyOf(client: number, id: number): number {
    for (const [key, address] of this.#addresses) {
      if (address.client === client && address.id === id) return key;
    }
    throw new Error(`nobody knows sub ${id} of client ${client}`);
  }

  #instant(stamp: number): VirtualNode["now"] {
    return stamp as VirtualNode["now"];
  }
}

const ascending = (a: number, b: number): number => a - b;
const isSame = (a: ModelSettings, b: ModelSettings): boolean =>
  a.filter === b.filter &&
  a.ackWaitMs === b.ackWaitMs &&
  a.unackedMax === b.unackedMax &&
  a.deliveriesMax === b.deliveriesMax;
