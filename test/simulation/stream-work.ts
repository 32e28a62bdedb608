/** Native clients that append to streams, share a durable consumer or take it from each other, and read by cursors that go on after a break. */
import assert from "node:assert/strict";
import type { ServerFrame, StreamRecord } from "../../src/native/frame.ts";
import type { Ledger } from "./ledger.ts";
import type { Answer, NativeLine } from "./native-line.ts";
import { SequenceBook } from "./sequence-book.ts";
import { numberOf, payloadBytes, payloadText, type Stage, type Step } from "./stage.ts";
import { Credit, type Work } from "./work.ts";

export const CAPTURED = "telemetry";
/** Nothing of it is ever let go. */
export const KEPT = "kept";
const CONSUMER = "shared-reader";
const ACK_WAIT_MS = 500;
const UNACKED_MAX = 30;
const MEMBERS: ReadonlySet<number> = new Set([3, 4]);
const READERS: ReadonlySet<number> = new Set([0, 2]);

/** A record in the hands of a client of the consumer. */
interface Hand {
  readonly payload: string;
  readonly sequence: number;
  readonly visibleAt: number;
  isRead: boolean;
  /** The client has sent what becomes of it. */
  isSettled: boolean;
}

/** One connection's share of the consumer. */
interface Member {
  readonly line: NativeLine;
  readonly sub: number;
  readonly isGroup: boolean;
  readonly credit: Credit;
  hands: Hand[];
  /** Everything that it ever had. */
  readonly had: Hand[];
  /** The last sequence that it got as the first of all. */
  lastFirst: number;
  isOver: boolean;
}

/** Records appended in one frame: all of them are taken or none. */
interface Appending {
  readonly stream: string;
  readonly payloads: readonly string[];
  readonly hasIds: boolean;
  arrivals: number;
  isAcknowledged: boolean;
}

export class StreamWork implements Work {
  appended = 0;
  readonly steps: readonly Step[];
  /** What is in the stream that keeps everything. */
  readonly kept = new SequenceBook();
  readonly #captured = new SequenceBook();
  readonly #stage: Stage;
  /** Of all consumers of the captured stream; the last is that of native clients. */
  readonly #ledgers: readonly Ledger[];
  readonly #ledger: Ledger;
  readonly #lines: () => readonly NativeLine[];
  readonly #members = new Set<Member>();
  /** Behind what each client has read. */
  readonly #next = new Map<string, number>();
  readonly #appendings: Appending[] = [];
  readonly #unanswered: Appending[] = [];
  readonly #cursors = new Map<NativeLine, Credit>();
  /** Looked at once more when all that was written is judged, and as long as a line may still have to be handled. */
  #settling: (readonly [NativeLine, () => void])[] = [];

  constructor(
    stage: Stage,
    ledgers: readonly Ledger[],
    ledger: Ledger,
    lines: () => readonly NativeLine[],
  ) {
    this.#stage = stage;
    this.#ledgers = ledgers;
    this.#ledger = ledger;
    this.#lines = lines;
    this.steps = [
      [6, "native-append", () => this.#append()],
      [8, "native-ack", () => this.#settleSome()],
      [2, "native-consume", () => this.#consumeAgain()],
      [3, "native-read-credit", () => this.#giveCredit()],
    ];
  }

  onDial(line: NativeLine, index: number): void {
    if (MEMBERS.has(index)) this.#consume(line, !this.#stage.hasFaults || this.#stage.chance(0.8));
    if (READERS.has(index)) this.#readOn(line);
  }

  onCrash(): void {
    // Lines have told that they are over.
  }

  onJudged(): void {
    this.#settling = this.#settling.filter(([line, settling]) => {
      settling();
      return line.isBlocked && !line.isOver;
    });
    const { now } = this.#stage;
    let inHands = 0;
    for (const { hands } of this.#members) {
      for (const { visibleAt } of hands) if (visibleAt > now) inHands++;
    }
    assert.ok(inHands <= UNACKED_MAX, `${inHands} in hands`);
  }

  drain(): void {
    this.#giveCredit();
    const hasMember = [...this.#members].some(({ line }) => !line.isAbandoned);
    const isAsking = this.#lines().some((line) => !line.isQuiet);
    if (!hasMember && !isAsking) this.#consume(this.#stage.pick(this.#lines()), true);
    for (const member of this.#members) {
      const read = member.hands.filter(isReadyToSettle);
      if (read.length > 0 && !member.line.isBusy) this.#settle(member, read, "ack", {});
    }
    for (const appending of this.#unanswered.splice(0)) {
      this.#offer(this.#stage.pick(this.#lines()), appending);
    }
  }

  check(): void {
    const kept = this.kept.counts();
    const { nextSequence } = this.#stage.node.store.stats(this.#stage.node.store.openLog(KEPT));
    for (const [clientId, next] of this.#next) {
      assert.equal(next, nextSequence, `${clientId} has not read all of ${KEPT}`);
    }
    for (const { stream, payloads, isAcknowledged } of this.#appendings) {
      const isThere = (payload: string): boolean =>
        stream === KEPT ? kept.has(payload) : this.#ledger.wasSeen(payload);
      const there = payloads.filter(isThere).length;
      const what = `${there} of ${payloads.length} appended together: ${payloads.join(" ")}`;
      assert.ok(there === payloads.length || (there === 0 && !isAcknowledged), what);
      for (const payload of payloads) assert.ok((kept.get(payload) ?? 0) <= 1, `${payload} twice`);
    }
  }

  #append(): void {
    const { chance, below, pick } = this.#shorthand;
    const line = pick(this.#lines());
    if (line === undefined || line.isBusy) return;
    const again = chance(0.5) ? this.#unanswered.shift() : undefined;
    if (again !== undefined) {
      this.#offer(line, again);
      return;
    }
    const payloads = Array.from({ length: 1 + below(3) }, () => {
      const name = this.#stage.payload("r");
      return chance(0.2) ? `${name}\u00fe${"y".repeat(below(400))}` : name;
    });
    const stream = pick([CAPTURED, KEPT]);
    const hasIds = chance(0.7);
    const appending = { stream, payloads, hasIds, arrivals: 0, isAcknowledged: false };
    this.#appendings.push(appending);
    this.appended += payloads.length;
    this.#offer(line, appending);
  }

  #offer(line: NativeLine | undefined, appending: Appending): void {
    const { stream, payloads, hasIds } = appending;
    if (line === undefined) {
      this.#unanswered.push(appending);
      return;
    }
    const messages = payloads.map((payload) => ({
      payload: payloadBytes(payload),
      ...(hasIds ? { messageId: `r${numberOf(payload)}` } : {}),
    }));
    line.ask(
      { op: "append", stream, messages },
      {
        arrived: () => {
          appending.arrivals++;
          if (stream !== CAPTURED) return;
          for (const ledger of this.#ledgers) {
            for (const payload of payloads) ledger.offer(payload, false);
          }
        },
        answered: (answer) => this.#onAppended(appending, answer),
        unanswered: () => {
          if (hasIds) this.#unanswered.push(appending);
        },
      },
    );
  }

  #onAppended(appending: Appending, answer: Answer): void {
    const { stream, payloads, hasIds, arrivals } = appending;
    if (answer.op === "error") {
      assert.equal(answer["code"], "held", `append: ${JSON.stringify(answer)}`);
      if (arrivals === 1) this.#refused(appending);
      return;
    }
    const sequences = answer["sequences"] as readonly number[];
    const duplicates = (answer["duplicates"] as number | undefined) ?? 0;
    assert.equal(sequences.length, payloads.length);
    if (arrivals === 1) assert.equal(duplicates, 0, `${payloads} were taken for known ones`);
    if (appending.isAcknowledged) assert.equal(duplicates, payloads.length, `${payloads} twice`);
    appending.isAcknowledged = true;
    for (const [i, payload] of payloads.entries()) {
      (stream === KEPT ? this.kept : this.#captured).note(sequences[i] as number, payload);
      if (stream === CAPTURED) for (const ledger of this.#ledgers) ledger.acknowledged(payload);
    }
    const { hasFaults } = this.#stage;
    if (hasIds && hasFaults && this.#stage.chance(0.1)) this.#unanswered.push(appending);
  }

  #refused({ stream, payloads }: Appending): void {
    if (stream !== CAPTURED) return;
    for (const ledger of this.#ledgers) for (const one of payloads) ledger.refused(one);
  }

  #consume(line: NativeLine | undefined, isGroup: boolean): void {
    if (line === undefined || [...this.#members].some((member) => member.line === line)) return;
    line.ask(
      {
        op: "consume",
        stream: CAPTURED,
        consumer: CONSUMER,
        from: { at: "first" },
        credit: 1 + this.#stage.below(10),
        isGroup,
        ackWaitMs: ACK_WAIT_MS,
        unackedMax: UNACKED_MAX,
      },
      {
        answered: ({ op, sub }) => {
          assert.equal(op, "ok");
          this.#join(line, sub as number, isGroup);
        },
      },
    );
  }

  #join(line: NativeLine, sub: number, isGroup: boolean): void {
    // Whoever must go lets go of what it has before it is told.
    for (const other of this.#members) {
      if (isGroup && other.isGroup) continue;
      for (const hand of other.had) this.#ledger.freed(hand.payload, hand);
      other.hands = [];
    }
    const member: Member = {
      line,
      sub,
      isGroup,
      credit: new Credit(line, sub),
      hands: [],
      had: [],
      lastFirst: 0,
      isOver: false,
    };
    this.#members.add(member);
    line.onOver.push(() => this.#leave(member));
    line.open(sub, {
      written: (frame, { at }) => this.#written(member, frame, at),
      read: (frame) => {
        if (frame.op !== "records") return;
        member.credit.take(frame.records.length);
        const read = new Set(frame.records.map(({ sequence }) => sequence));
        for (const hand of member.hands) if (read.has(hand.sequence)) hand.isRead = true;
      },
    });
  }

  #leave(member: Member): void {
    member.isOver = true;
    this.#members.delete(member);
    for (const hand of member.had) this.#ledger.freed(hand.payload, hand);
  }

  #written(member: Member, frame: ServerFrame, at: number): void {
    if (frame.op === "ended") {
      assert.equal(frame.code, "consumer-taken");
      this.#leave(member);
      return;
    }
    assert.ok(frame.op === "records" && !member.isOver, `${frame.op} of a consumer`);
    assert.equal(frame.lost, undefined, "a consumer lost records");
    for (const record of frame.records) this.#take(member, record, at);
  }

  #take(member: Member, record: StreamRecord, at: number): void {
    const { sequence, deliveryCount = 0, payload: bytes } = record;
    const payload = payloadText(bytes);
    this.#captured.note(sequence, payload);
    if (deliveryCount === 1) {
      assert.ok(sequence > member.lastFirst, `${sequence} came first behind ${member.lastFirst}`);
      member.lastFirst = sequence;
    }
    const visibleAt = at + ACK_WAIT_MS;
    const hand: Hand = { payload, sequence, visibleAt, isRead: false, isSettled: false };
    this.#ledger.handedOut({ payload, where: CONSUMER, deliveryCount, visibleAt, at, hand });
    // Under the sequence it has what came last.
    member.hands = member.hands.filter((one) => one.sequence !== sequence);
    member.hands.push(hand);
    member.had.push(hand);
  }

  #settleSome(): void {
    const { chance, below, pick } = this.#shorthand;
    const member = pick([...this.#members]);
    const read = member?.hands.filter(isReadyToSettle) ?? [];
    if (member === undefined || read.length === 0 || member.line.isBusy) return;
    const chosen = read.slice(0, 1 + below(4));
    if (chance(0.2)) this.#settle(member, chosen, "reject", { delayMs: below(300) });
    else if (chance(0.3)) this.#ackUpTo(member, pick(read).sequence);
    else this.#settle(member, chosen, "ack", {});
  }

  #settle(
    member: Member,
    chosen: readonly Hand[],
    op: "ack" | "reject",
    fields: { readonly delayMs?: number },
  ): void {
    for (const hand of chosen) hand.isSettled = true;
    const sequences = chosen.map(({ sequence }) => sequence);
    let arrivedAt = 0;
    let meant: readonly Hand[] = [];
    const settling = (): void => {
      const latest = latestOf(member, sequences);
      for (const hand of latest) {
        if (meant.includes(hand)) continue;
        if (op === "ack") this.#ledger.settling(hand.payload, hand);
        else this.#ledger.freed(hand.payload, hand);
      }
      meant = latest;
      member.hands = member.hands.filter((hand) => !latest.includes(hand));
    };
    const arrived = (): void => {
      arrivedAt = this.#stage.now;
      settling();
      // Something may be handed out by what came in the same message, in front of it.
      this.#settling.push([member.line, settling]);
    };
    const frame = { op, sub: member.sub, sequences, ...fields };
    if (this.#stage.hasFaults && this.#stage.chance(0.3)) {
      member.line.note(frame, arrived);
      return;
    }
    member.line.ask(frame, {
      arrived,
      answered: (answer) => {
        const expired = expiredOf(answer, sequences);
        if (op === "ack") {
          // Those that it had when the frame was handled.
          this.#onAcked(latestOf(member, sequences), expired);
          return;
        }
        const until = arrivedAt + (fields.delayMs ?? 0);
        for (const hand of meant) {
          if (!expired.has(hand.sequence)) this.#ledger.hideUntil(hand.payload, hand, until);
        }
      },
    });
  }

  #onAcked(hands: readonly Hand[], expired: ReadonlySet<number>): void {
    for (const hand of hands) {
      if (expired.has(hand.sequence)) this.#ledger.notSettled(hand.payload, hand);
      else this.#ledger.settledForGood(hand.payload, hand);
    }
  }

  #ackUpTo(member: Member, upTo: number): void {
    let meant: readonly Hand[] = [];
    const settling = (): void => {
      const more = member.hands.filter(({ sequence }) => sequence <= upTo);
      member.hands = member.hands.filter(({ sequence }) => sequence > upTo);
      for (const hand of more) this.#ledger.settling(hand.payload, hand);
    };
    member.line.ask(
      { op: "ack", sub: member.sub, upTo },
      {
        arrived: () => {
          meant = member.hands.filter(({ sequence }) => sequence <= upTo);
          settling();
          this.#settling.push([member.line, settling]);
        },
        answered: (answer) => {
          const sequences = meant.map(({ sequence }) => sequence);
          this.#onAcked(latestOf(member, sequences), expiredOf(answer, sequences));
          // Handed out while the frame waited to be handled: those may be meant, too.
          settling();
        },
      },
    );
  }

  #consumeAgain(): void {
    this.#consume(this.#stage.pick(this.#lines()), this.#stage.chance(0.7));
  }

  #readOn(line: NativeLine): void {
    const { clientId } = line;
    // As far as it has been written on this connection; what the client has not read when it ends comes again.
    let next = this.#next.get(clientId) ?? 1;
    line.ask(
      { op: "consume", stream: KEPT, from: { sequence: next }, credit: 1 + this.#stage.below(20) },
      {
        withinMs: 0,
        answered: ({ op, sub }) => {
          assert.equal(op, "ok");
          const credit = new Credit(line, sub as number);
          this.#cursors.set(line, credit);
          line.onOver.push(() => this.#cursors.delete(line));
          line.open(sub as number, {
            written: (frame) => {
              assert.ok(
                frame.op === "records" && frame.lost === undefined,
                `${frame.op} of ${KEPT}`,
              );
              for (const { sequence, payload } of frame.records) {
                assert.equal(sequence, next, `${clientId} reads ${KEPT}`);
                this.kept.note(sequence, payloadText(payload));
                next++;
              }
            },
            read: (frame) => {
              if (frame.op !== "records") return;
              credit.take(frame.records.length);
              const last = frame.records.at(-1);
              if (last !== undefined) this.#next.set(clientId, last.sequence + 1);
            },
          });
        },
      },
    );
  }

  #giveCredit(): void {
    const credits = [...[...this.#members].map(({ credit }) => credit), ...this.#cursors.values()];
    if (!this.#stage.hasFaults) for (const credit of credits) credit.give();
    else this.#stage.pick(credits)?.give();
  }

  get #shorthand() {
    const stage = this.#stage;
    return {
      chance: (share: number): boolean => stage.chance(share),
      below: (end: number): number => stage.below(end),
      pick: <T>(from: readonly T[]): T => stage.pick(from),
    };
  }
}

const isReadyToSettle = ({ isRead, isSettled }: Hand): boolean => isRead && !isSettled;

/** What a client names by sequence: its last delivery of each. */
function latestOf({ had }: Member, sequences: readonly number[]): readonly Hand[] {
  const latest = new Map<number, Hand>();
  for (const hand of had) if (sequences.includes(hand.sequence)) latest.set(hand.sequence, hand);
  return [...latest.values()];
}

/** What of it was in other hands by then. */
function expiredOf(answer: Answer, all: readonly number[]): ReadonlySet<number> {
  if (answer.op === "error") {
    const isKnown = answer["code"] === "expired-delivery" || answer["code"] === "not-found";
    assert.ok(isKnown, JSON.stringify(answer));
    return new Set(all);
  }
  return new Set(answer["expired"] as readonly number[] | undefined);
}
