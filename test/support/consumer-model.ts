/**
 * What durable consumers of one stream do, as plain lists: which record is handed out next, how often it was, until when it is hidden. Made to be right by
 * reading, not to be quick. It is told the time of the log, what was sealed and flushed, and where the stream begins; all else it finds out by itself.
 */
import assert from "node:assert/strict";
import {
  cloneState,
  type Entry,
  isDone,
  type ModelConsumer,
  type ModelDelivery,
  type ModelRecord,
  type ModelSettings,
  type ModelSub,
  type Retention,
  type StampOf,
  type State,
} from "./consumer-model-state.ts";

const ONE_OF_THEM = 0;

export class ConsumerModel {
  readonly retention: Retention;
  readonly subs = new Map<number, ModelSub>();
  state: State = {
    records: [],
    nextSequence: 1,
    purgedBefore: 0,
    consumers: new Map(),
    made: 0,
    dead: [],
  };
  /** Where the stream begins for those who read it, and ends. */
  first = 1;
  flushedEnd = 1;
  /** What comes next, to be compared and taken away: by consumer what is handed out, in order. */
  readonly handed = new Map<number, ModelDelivery[]>();
  /** Subs that the broker has ended. */
  ended: ModelSub[] = [];
  /** Credit that was used since the last look, by consumer. */
  readonly #used = new Map<number, number>();
  /** What subs are told as lost: `key from..to`. */
  lost: string[] = [];
  #durable = cloneState(this.state);
  #sealed: State | undefined;
  #lastKey = 0;
  readonly #stampOf: StampOf;

  constructor(retention: Retention, stampOf: StampOf) {
    this.retention = retention;
    this.#stampOf = stampOf;
  }

  get consumers(): ModelConsumer[] {
    return [...this.state.consumers.values()];
  }

  consumerOf({ consumer }: ModelSub): ModelConsumer | undefined {
    return this.consumers.find(({ key }) => key === consumer);
  }

  subsOf({ key }: ModelConsumer): ModelSub[] {
    return [...this.subs.values()].filter(({ consumer }) => consumer === key);
  }

  append(texts: readonly string[], topic: string, at: number, expiryMs: number | undefined): void {
    for (const text of texts) {
      const sequence = this.state.nextSequence++;
      this.state.records = [...this.state.records, { sequence, text, topic, at, expiryMs }];
    }
  }

  /** The records that readers see. */
  get visible(): readonly ModelRecord[] {
    const { first, flushedEnd } = this;
    return this.state.records.filter(({ sequence }) => sequence >= first && sequence < flushedEnd);
  }

  create(name: string, settings: ModelSettings, start: number): ModelConsumer {
    const consumer: ModelConsumer = {
      key: ++this.#lastKey,
      name,
      settings,
      floor: start,
      settled: new Set(),
      entries: new Map(),
    };
    this.state.consumers.set(name, consumer);
    this.state.made++;
    return consumer;
  }

  delete(consumer: ModelConsumer): void {
    this.state.consumers.delete(consumer.name);
    for (const sub of this.subsOf(consumer)) this.#end(sub);
  }

  /** Somebody takes the consumer, alone or with a group; unless it was deleted meanwhile. */
  start(consumerKey: number, isGroup: boolean, credit: number, now: number): ModelSub {
    const sub = {
      key: ++this.#lastKey,
      consumer: consumerKey,
      isGroup,
      credit,
      delivered: new Map(),
    };
    const consumer = this.consumers.find(({ key }) => key === consumerKey);
    if (consumer === undefined) {
      this.ended.push(sub);
      return sub;
    }
    // All of them, or none: an exclusive one is alone.
    const leaving = this.subsOf(consumer).filter((one) => !isGroup || !one.isGroup);
    this.subs.set(sub.key, sub);
    this.#passLoss(consumer);
    for (const one of leaving) this.#end(one);
    if (leaving.length > 0) {
      this.#release(consumer, [ONE_OF_THEM, ...leaving.map(({ key }) => key)]);
      this.#used.set(consumer.key, 0);
    }
    if (credit > 0) this.pump(consumer, now);
    return sub;
  }

  #end(sub: ModelSub): void {
    this.subs.delete(sub.key);
    this.ended.push(sub);
  }

  /** It leaves: what it has in hands is free at once. */
  leave(sub: ModelSub, now: number): void {
    this.subs.delete(sub.key);
    const consumer = this.consumerOf(sub);
    if (consumer === undefined) return;
    this.#release(consumer, [sub.key]);
    this.pump(consumer, now);
  }

  #release(consumer: ModelConsumer, holders: readonly number[]): void {
    for (const [sequence, entry] of [...consumer.entries]) {
      const { holder } = entry;
      if (holder !== undefined && holders.includes(holder))
        this.#returned(consumer, sequence, entry);
    }
  }

  /** Settles what this sub was handed. Returns the sequences that are not in its hands any more. */
  settle(
    sub: ModelSub,
    how: "ack" | "reject",
    meant: readonly number[],
    delayMs: number,
    now: number,
  ): number[] {
    const consumer = this.consumerOf(sub);
    const expired: number[] = [];
    for (const sequence of meant) {
      const count = sub.delivered.get(sequence);
      sub.delivered.delete(sequence);
      const entry = consumer?.entries.get(sequence);
      if (consumer === undefined || entry === undefined || entry.count !== count) {
        expired.push(sequence);
      } else if (how === "ack") {
        this.#settled(consumer, sequence);
      } else if (delayMs > 0 && !this.#isExhausted(consumer, entry)) {
        entry.hidden = { at: now, forMs: delayMs };
        entry.holder = undefined;
      } else {
        this.#returned(consumer, sequence, entry);
      }
    }
    if (consumer !== undefined) this.pump(consumer, now);
    return expired;
  }

  /** Hands out what there is: always the first that is free. */
  pump(consumer: ModelConsumer, now: number): void {
    const { settings } = consumer;
    let room = this.#roomOf(consumer);
    while (room > 0 && this.unackedOf(consumer) < settings.unackedMax) {
      const record = this.visible.find(({ sequence }) => this.#isFree(consumer, sequence));
      if (record === undefined) return;
      const { sequence, topic, expiryMs } = record;
      const entry = consumer.entries.get(sequence) ?? {
        count: 0,
        hidden: undefined,
        holder: undefined,
      };
      const isMeant = settings.filter === undefined || settings.filter === topic;
      const isExpired = expiryMs !== undefined && now - this.#stampOf(record.at) >= expiryMs;
      // What has expired was meant for nobody else: it needs no count.
      if (!isExpired && this.#isExhausted(consumer, entry)) {
        this.#giveUp(consumer, sequence);
      } else if (isExpired || !isMeant) {
        this.#settled(consumer, sequence);
      } else {
        room--;
        this.#used.set(consumer.key, (this.#used.get(consumer.key) ?? 0) + 1);
        entry.holder = ONE_OF_THEM;
        entry.count++;
        entry.hidden = { at: now, forMs: settings.ackWaitMs };
        consumer.entries.set(sequence, entry);
        this.#expect(consumer).push({ sequence, count: entry.count });
      }
    }
  }

  /** What was handed out so far has been seen. */
  startLooking(): void {
    this.handed.clear();
    this.#used.clear();
  }

  /** What was handed out since the last look, in order. */
  #expect({ key }: ModelConsumer): ModelDelivery[] {
    const list = this.handed.get(key) ?? [];
    this.handed.set(key, list);
    return list;
  }

  /** Credit of all that has not been used by what was handed out since the last look. */
  #roomOf(consumer: ModelConsumer): number {
    const credit = this.subsOf(consumer).reduce((sum, sub) => sum + sub.credit, 0);
    return credit - (this.#used.get(consumer.key) ?? 0);
  }

  /** What is in hands, and what is hidden after a reject. */
  unackedOf({ entries }: ModelConsumer): number {
    return [...entries.values()].filter(({ hidden }) => hidden !== undefined).length;
  }

  /** Records that are not settled, those not on disk yet among them. */
  unsettledOf({ floor, settled }: ModelConsumer): number {
    return this.state.records.filter(({ sequence }) => sequence >= floor && !settled.has(sequence))
      .length;
  }

  #isFree({ floor, settled, entries }: ModelConsumer, sequence: number): boolean {
    return (
      sequence >= floor && !settled.has(sequence) && entries.get(sequence)?.hidden === undefined
    );
  }

  #isExhausted({ settings }: ModelConsumer, { count }: Entry): boolean {
    return settings.deliveriesMax > 0 && count >= settings.deliveriesMax;
  }

  #returned(consumer: ModelConsumer, sequence: number, entry: Entry): void {
    entry.hidden = undefined;
    entry.holder = undefined;
    if (this.#isExhausted(consumer, entry)) this.#giveUp(consumer, sequence);
  }

  #giveUp(consumer: ModelConsumer, sequence: number): void {
    const record = this.state.records.find((one) => one.sequence === sequence);
    this.state.dead.push(record?.text ?? "");
    this.#settled(consumer, sequence);
  }

  #settled(consumer: ModelConsumer, sequence: number): void {
    consumer.entries.delete(sequence);
    consumer.settled.add(sequence);
    while (consumer.settled.has(consumer.floor)) consumer.floor++;
  }

  /** Time has passed from `now` to `until`. */
  advance(now: number, until: number): void {
    for (const consumer of this.consumers) {
      for (let at = now; ; ) {
        const due = [...consumer.entries].map(([, entry]) => this.#dueOf(entry));
        at = Math.max(at, Math.min(...due));
        if (at > until) break;
        for (const [sequence, entry] of [...consumer.entries]) {
          if (this.#dueOf(entry) <= at) this.#returned(consumer, sequence, entry);
        }
        this.pump(consumer, at);
      }
    }
  }

  /** When it is hidden no more; infinity: it is not hidden. */
  #dueOf({ hidden }: Entry): number {
    return hidden === undefined
      ? Number.POSITIVE_INFINITY
      : this.#stampOf(hidden.at) + hidden.forMs;
  }

  purge(before: number | undefined): number {
    const end = Math.min(before ?? this.flushedEnd, this.flushedEnd);
    this.state.purgedBefore = Math.max(this.state.purgedBefore, end);
    return Math.max(0, end - this.first);
  }

  seal(): void {
    this.#sealed ??= cloneState(this.state);
  }

  /** A commit is on disk; `first`: where the stream begins now. Whoever starts to consume with it is told by `starts`. */
  flush(first: number, now: number, starts: () => void): void {
    const before = this.#durable;
    this.#durable = this.#sealed ?? cloneState(this.state);
    this.#sealed = undefined;
    this.#checkFirst(first, before, now);
    this.first = first;
    this.flushedEnd = this.#durable.nextSequence;
    starts();
    for (const consumer of this.consumers) this.#passLoss(consumer);
    for (const consumer of this.consumers) this.pump(consumer, now);
  }

  /** What the stream has let go of, it had a reason to let go of. */
  #checkFirst(first: number, before: State, now: number): void {
    const { records, purgedBefore, consumers, made } = this.#durable;
    const { messagesMax, ageMaxMs, isUntilDelivered } = this.retention;
    assert.ok(first >= this.first && first >= purgedBefore, "what was purged is still there");
    // Who came later was not asked.
    const asked = [...consumers.values()].filter(
      ({ key, name }) => before.consumers.get(name)?.key === key,
    );
    const hadSome = before.consumers.size > 0 || made > before.made;
    for (const record of records) {
      const { sequence, at } = record;
      if (sequence < this.first || sequence >= first) continue;
      const isDropped = messagesMax !== undefined && sequence < this.flushedEnd - messagesMax;
      const isOld = ageMaxMs !== undefined && now - this.#stampOf(at) > ageMaxMs;
      const isDelivered = hadSome && asked.every((consumer) => isDone(consumer, record));
      const isLetGo = isUntilDelivered && isDelivered;
      const mayGo = sequence < purgedBefore || isDropped || isOld || isLetGo;
      assert.ok(mayGo, `record ${sequence} is gone, and somebody has not had it`);
    }
  }

  #passLoss(consumer: ModelConsumer): void {
    const { floor, entries, settled } = consumer;
    if (this.first <= floor) return;
    for (const sequence of [...entries.keys()]) if (sequence < this.first) entries.delete(sequence);
    for (let sequence = floor; sequence < this.first; sequence++) settled.add(sequence);
    while (settled.has(consumer.floor)) consumer.floor++;
    for (const { key } of this.subsOf(consumer))
      this.lost.push(`${key} ${floor}..${this.first - 1}`);
  }

  /** Ends the broker and starts it again: what was not flushed is gone, and everybody is. */
  crash(now: number): void {
    this.state = cloneState(this.#durable);
    this.#sealed = undefined;
    this.subs.clear();
    this.startLooking();
    for (const { entries } of this.consumers) {
      for (const entry of entries.values()) {
        entry.holder = undefined;
        // Given up, if it has to be, when it would be handed out again.
        if (this.#dueOf(entry) <= now) entry.hidden = undefined;
      }
    }
    for (const consumer of this.consumers) this.#passLoss(consumer);
  }
}
