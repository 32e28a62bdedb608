/**
 * Events over both protocols: published by native and MQTT clients, to native subs with little credit, groups of both protocols and MQTT
 * subscribers that end with their connection. At most once, in order, and dropped only where there was no credit or room, which is told.
 */
import assert from "node:assert/strict";
import type { QoS } from "../../src/broker/message.ts";
import { filterMatches } from "../../src/broker/topic.ts";
import type { ServerFrame } from "../../src/native/frame.ts";
import type { NativeLine } from "./native-line.ts";
import { numberOf, payloadBytes, payloadText, type Stage, type Step } from "./stage.ts";
import { Credit, type Work } from "./work.ts";

/** First level of the topics of events. */
export const EVENTS = "e";
const GROUP = "crew";
const FILTER = `${EVENTS}/#`;

/** An event that was published. */
interface Publication {
  readonly payload: string;
  readonly topic: string;
  readonly publisherId: string;
  readonly qos: QoS;
  /** How often it came to the broker. */
  arrivals: number;
  /** Whether it is taken for a repeat depends on what a crash has left. */
  mayBeKnown: boolean;
}

/** Whoever gets events: a sub, an MQTT subscription. */
export interface Listener {
  readonly name: string;
  readonly clientId: string;
  readonly filter: string;
  readonly isGroup: boolean;
  readonly isLocalWanted: boolean;
  /** Not before it has been told so, and not while it is ending, it must get what comes. */
  isLive: boolean;
  /** From the next step on it must get what comes. */
  isOpen: boolean;
  isOver: boolean;
  /** How many it took at least when the step began; and whether there was room all the time. */
  creditBefore: number;
  credit: number;
  readonly hasRoom: () => boolean;
  /** The broker may not have handled what it said last, credit among it. */
  readonly isBlocked: () => boolean;
  /** By payload, how often it came. */
  readonly got: Map<string, number>;
  /** Of the last step. */
  fresh: string[];
  /** What it was owed, and was told that it was dropped; undefined: that cannot be known any more. */
  owed: number | undefined;
  dropped: number;
  /** The last number by publisher and kind, of what came once. */
  readonly last: Map<string, number>;
}

export class EventsWork implements Work {
  published = 0;
  delivered = 0;
  readonly steps: readonly Step[];
  readonly #stage: Stage;
  readonly #lines: () => readonly NativeLine[];
  readonly #publications = new Map<string, Publication>();
  readonly #listeners = new Set<Listener>();
  readonly #credits = new Map<Listener, Credit>();
  readonly #subs = new Map<Listener, { readonly line: NativeLine; readonly sub: number }>();
  /** Came in the last step, in order. */
  #fresh: Publication[] = [];
  /** Native clients that published in the last step, or whose publishes may be handled later. */
  readonly #publishers = new Set<NativeLine>();
  /** True while publishes of MQTT clients may be handled later than they came. */
  readonly #isHeld: () => boolean;
  /** By payload, how often members of the group got it. */
  readonly #groupGot = new Map<string, number>();

  constructor(stage: Stage, lines: () => readonly NativeLine[], isHeld: () => boolean) {
    this.#stage = stage;
    this.#lines = lines;
    this.#isHeld = isHeld;
    this.steps = [
      [10, "native-publish", () => this.#publish()],
      [4, "native-event-credit", () => this.#giveCredit()],
      [1, "native-unsubscribe", () => this.#unsubscribe()],
    ];
  }

  onDial(line: NativeLine, index: number): void {
    if (index !== 1) this.#subscribe(line, FILTER, false);
    if (index === 2) this.#subscribe(line, `${EVENTS}/+`, false);
    if (index <= 2) this.#subscribe(line, FILTER, true);
  }

  onCrash(): void {
    for (const listener of this.#listeners) this.left(listener);
    for (const publication of this.#publications.values()) {
      if (publication.qos < 2 || publication.arrivals === 0) continue;
      publication.arrivals = 0;
      publication.mayBeKnown = true;
    }
  }

  drain(): void {
    this.#giveCredit();
  }

  check(): void {
    for (const { name, owed, got, dropped } of this.#listeners) {
      if (owed === undefined) continue;
      let received = 0;
      for (const count of got.values()) received += count;
      const what = `${name} was owed ${owed}, got ${received} and was told of ${dropped}`;
      assert.equal(received + dropped, owed, what);
    }
  }

  /** The same over a native connection. */
  arrivedBy(line: NativeLine, payload: string, topic: string, qos: QoS): void {
    this.#publishers.add(line);
    this.arrived(payload, topic, line.clientId, qos);
  }

  /** A publish of an event came to the broker. */
  arrived(payload: string, topic: string, publisherId: string, qos: QoS): void {
    const known = this.#publications.get(payload);
    const publication = known ?? {
      payload,
      topic,
      publisherId,
      qos,
      arrivals: 0,
      mayBeKnown: false,
    };
    this.#publications.set(payload, publication);
    // It is told by its packet identifier.
    if (qos === 2 && publication.arrivals > 0) return;
    publication.arrivals++;
    this.#fresh.push(publication);
  }

  joined(fields: Pick<Listener, "name" | "clientId" | "filter" | "isGroup"> & Partial<Listener>) {
    const listener: Listener = {
      isLocalWanted: true,
      isLive: false,
      isOpen: false,
      isOver: false,
      creditBefore: 0,
      credit: Number.POSITIVE_INFINITY,
      hasRoom: () => true,
      isBlocked: () => false,
      got: new Map(),
      fresh: [],
      owed: undefined,
      dropped: 0,
      last: new Map(),
      ...fields,
    };
    this.#listeners.add(listener);
    return listener;
  }

  left(listener: Listener): void {
    listener.isOver = true;
    this.#listeners.delete(listener);
    this.#credits.delete(listener);
    this.#subs.delete(listener);
  }

  /** The broker wrote an event. */
  took(listener: Listener, topic: string, payload: string): void {
    this.delivered++;
    const publication = this.#publications.get(payload);
    const what = `${listener.name}: event ${payload}`;
    assert.ok(publication !== undefined && publication.topic === topic, `${what} is unknown`);
    const { arrivals, publisherId, qos } = publication;
    const isOwn = publisherId === listener.clientId && !listener.isLocalWanted;
    assert.ok(filterMatches(listener.filter, topic) && !isOwn, `${what} is not for it`);
    assert.ok(!listener.isOver, `${what} came behind the end`);
    const count = (listener.got.get(payload) ?? 0) + 1;
    listener.got.set(payload, count);
    listener.fresh.push(payload);
    assert.ok(listener.credit > 0, `${what} without credit`);
    listener.credit--;
    assert.ok(count <= arrivals, `${what} came ${count} times`);
    if (listener.isGroup) {
      const all = (this.#groupGot.get(payload) ?? 0) + 1;
      this.#groupGot.set(payload, all);
      assert.ok(all <= arrivals, `${what} came to ${all} of a group`);
    }
    if (arrivals > 1) return;
    const kind = `${publisherId} ${qos === 2}`;
    const number = numberOf(payload);
    assert.ok(number > (listener.last.get(kind) ?? -1), `${what} came too late`);
    listener.last.set(kind, number);
  }

  /** What came in this step and could be delivered was. */
  onJudged(): void {
    for (const line of this.#publishers) {
      if (line.isOver || !line.isBlocked) this.#publishers.delete(line);
    }
    const fresh = this.#fresh;
    if (fresh.length > 0) {
      this.#fresh = [];
      const isLate = this.#isLate;
      for (const listener of this.#listeners) {
        if (!listener.isGroup) this.#judge(listener, fresh, isLate);
      }
      if (!isLate) this.#judgeGroup(fresh);
    }
    for (const listener of this.#listeners) {
      if (listener.fresh.length > 0) listener.fresh = [];
      const { credit, creditBefore } = listener;
      const isCounted = credit <= creditBefore || !listener.isBlocked();
      if (isCounted) listener.creditBefore = credit;
      listener.isLive ||= listener.isOpen;
    }
  }

  /** Something that came may be handled later than it came. */
  get #isLate(): boolean {
    return this.#publishers.size > 0 || this.#isHeld();
  }

  #judge(listener: Listener, fresh: readonly Publication[], isLate: boolean): void {
    const due = fresh.filter((one) => isFor(listener, one));
    if (due.length === 0) return;
    if (!listener.isLive || isLate || due.some(({ mayBeKnown }) => mayBeKnown)) {
      listener.owed = undefined;
      return;
    }
    if (listener.owed !== undefined) listener.owed += due.length;
    if (listener.creditBefore < due.length + listener.fresh.length || !listener.hasRoom()) return;
    for (const { payload, qos } of due) {
      if (qos === 2) continue;
      const what = `${listener.name}: event ${payload} did not come, although there was room`;
      assert.ok(listener.fresh.includes(payload), what);
    }
  }

  #judgeGroup(fresh: readonly Publication[]): void {
    if (fresh.length === 0) return;
    const members = [...this.#listeners].filter((one) => one.isGroup && one.isLive);
    const isReady = members.some(
      (one) => one.creditBefore >= 2 * fresh.length + one.fresh.length && one.hasRoom(),
    );
    if (!isReady) return;
    for (const { payload, qos, arrivals } of fresh) {
      if (qos === 2 || arrivals > 1) continue;
      assert.equal(this.#groupGot.get(payload), 1, `event ${payload} came to nobody of a group`);
    }
  }

  #publish(): void {
    const stage = this.#stage;
    const line = stage.pick(this.#lines());
    if (line === undefined || line.isBusy) return;
    const payload = stage.payload("e");
    const topic = `${EVENTS}/${stage.below(3)}`;
    const frame = { op: "publish", topic, payload: payloadBytes(payload) } as const;
    this.published++;
    const qos = stage.chance(0.5) ? 0 : 1;
    const arrived = (): void => this.arrivedBy(line, payload, topic, qos);
    if (qos === 0) line.note(frame, arrived);
    else {
      line.ask(frame as never, {
        arrived,
        answered: ({ reached }) => {
          const count = [...this.#listeners].reduce(
            (sum, { got }) => sum + (got.get(payload) ?? 0),
            0,
          );
          if (reached === false) assert.equal(count, 0, `event ${payload} reached somebody`);
        },
      });
    }
  }

  #subscribe(line: NativeLine, filter: string, isGroup: boolean): void {
    const noLocal = !isGroup && this.#stage.chance(0.3);
    const credit = 1 + this.#stage.below(this.#stage.chance(0.5) ? 5 : 200);
    let listener: Listener | undefined;
    line.onOver.push(() => {
      if (listener !== undefined) this.left(listener);
    });
    const group = isGroup ? { group: GROUP } : {};
    line.ask(
      { op: "subscribe", filter, credit, ...group, ...(noLocal ? { noLocal } : {}) },
      {
        withinMs: 0,
        arrived: () => {
          listener = this.joined({
            name: `${line.clientId} ${isGroup ? `${GROUP} ` : ""}${filter}`,
            clientId: line.clientId,
            filter,
            isGroup,
            isLocalWanted: !noLocal,
            credit,
            hasRoom: () => line.hasRoom,
            isBlocked: () => line.isBlocked,
          });
        },
        answered: ({ op, sub }) => {
          assert.equal(op, "ok");
          if (listener === undefined) return;
          // What came in the same step may have come before.
          const isSure = this.#fresh.length === 0 && !this.#isLate;
          listener.owed = isSure && !isGroup ? 0 : undefined;
          listener.isOpen = true;
          this.#listen(line, listener, sub as number);
        },
      },
    );
  }

  #listen(line: NativeLine, listener: Listener, sub: number): void {
    const credit = new Credit(line, sub, (add) => {
      listener.credit += add;
    });
    this.#credits.set(listener, credit);
    this.#subs.set(listener, { line, sub });
    line.open(sub, {
      written: (frame) => this.#written(listener, frame),
      read: (frame) => {
        if (frame.op === "event") credit.take(1);
      },
    });
  }

  #written(listener: Listener, frame: ServerFrame): void {
    if (frame.op === "dropped") {
      assert.ok(frame.count > 0, `${listener.name} is told of nothing`);
      listener.dropped += frame.count;
      return;
    }
    assert.ok(frame.op === "event" && frame.retained === undefined, frame.op);
    this.took(listener, frame.topic, payloadText(frame.payload));
  }

  /** Ends a sub and makes it anew: nothing comes behind the answer. */
  #unsubscribe(): void {
    const [listener, { line, sub }] = this.#stage.pick([...this.#subs]) ?? [undefined, {}];
    if (listener === undefined || line === undefined || sub === undefined) return;
    this.#subs.delete(listener);
    line.ask(
      { op: "unsubscribe", sub },
      {
        arrived: () => {
          listener.isLive = false;
          listener.isOpen = false;
          listener.owed = undefined;
        },
        answered: ({ op }) => {
          assert.equal(op, "ok");
          this.left(listener);
          this.#subscribe(line, listener.filter, listener.isGroup);
        },
      },
    );
  }

  #giveCredit(): void {
    const credits = [...this.#credits.values()];
    if (!this.#stage.hasFaults) for (const credit of credits) credit.give();
    else this.#stage.pick(credits)?.give();
  }
}

/** Whether somebody gets an event that was published. */
function isFor(listener: Listener, { topic, publisherId }: Publication): boolean {
  const isOwn = publisherId === listener.clientId && !listener.isLocalWanted;
  return filterMatches(listener.filter, topic) && !isOwn;
}
