import type { Sequence, Store } from "../broker/store.ts";
import { DeadLetters, recordOf } from "./dead-letters.ts";
import type { Lane } from "./lane.ts";
import type { LossLedger } from "./loss-ledger.ts";
import { recordId } from "./record-id.ts";
import type { Failure } from "./remote.ts";
import type { UplinkOptions } from "./uplink-options.ts";

/** Letters that may be on their way to be sent once more, per lane. */
const AGAIN_MAX = 1_000;
/** Between two lines of the log about one lane's dead letters. */
const LOG_EVERY_MS = 60_000;
/** How soon to try again while the store has much to write. */
const PENDING_RETRY_MS = 100;

/** What became of letters that were to be sent again. */
export interface RetryResult {
  readonly started: number;
  /** Why the others were not. */
  readonly refused: readonly { readonly number: number; readonly reason: string }[];
}

/**
 * Puts records aside that the remote never takes, and sends them once more when an operator says so. A letter that is
 * sent again keeps its record id and is removed when the remote acknowledged it; until then it stays, whatever happens.
 */
export class Quarantine {
  readonly letters: DeadLetters;
  readonly #options: UplinkOptions;
  readonly #store: Store;
  readonly #ledger: LossLedger;
  /** Letters on their way: their numbers by lane and sequence. */
  readonly #again = new Map<Lane, Map<number, number>>();
  readonly #logged = new Map<Lane, { atMs: number; count: number }>();

  constructor(options: UplinkOptions, ledger: LossLedger, bytesMax: number) {
    this.#options = options;
    this.#store = options.store;
    this.#ledger = ledger;
    this.letters = new DeadLetters(options.store, options.name, bytesMax);
  }

  /**
   * Puts a record of the lane aside: marked done, staged as a dead letter and noted in the ledger. The caller stages the
   * lane's progress in the same turn. Returns why it cannot be done now. Throws what the store throws.
   */
  put(lane: Lane, sequence: number, failure: Failure, nowMs: number): Failure | undefined {
    lane.settle(sequence, nowMs);
    if (this.giveUp(lane, sequence, failure.reason)) return undefined;
    if (lane.progress.done.has(sequence)) return undefined;
    const { stream, log } = lane.settings;
    const batch = this.#store.read(log, sequence as Sequence, 1, 1);
    const record = batch.records[0];
    if (record?.sequence !== sequence) {
      // Gone or damaged meanwhile: the reader accounts for it.
      lane.rewindWhenSettled();
      return undefined;
    }
    const doubt = lane.guard.doubt(record.topic.text) ?? this.#storeDoubt();
    if (doubt !== undefined) {
      if (typeof doubt !== "string") return doubt;
      const reason = `${doubt}, so it is not the records; the last refusal: ${failure.reason}`;
      return { class: "lane", reason };
    }
    const { edgeId, clock } = this.#options;
    this.letters.append(record, {
      recordId: recordId(edgeId, record.epoch, stream, sequence),
      lane: lane.name,
      stream,
      sequence,
      reason: failure.reason,
      at: clock.now(),
    });
    lane.progress.done.add(sequence);
    lane.guard.onPutAside(record.topic.text);
    lane.counters.deadLetters++;
    const range = { lane: lane.name, stream, from: sequence, to: sequence, count: 1 } as const;
    this.#ledger.note({ ...range, reason: "poisoned" });
    this.#logPut(lane, sequence, record.topic.text, failure.reason, nowMs);
    return undefined;
  }

  /** Lets letters be sent once more: all of these numbers that are there. */
  retry(lanes: readonly Lane[], from: number, to: number): RetryResult {
    let started = 0;
    const refused: { number: number; reason: string }[] = [];
    const letters = this.letters.list(from, AGAIN_MAX);
    for (const letter of letters) {
      const { number, origin } = letter;
      if (number > to) break;
      const lane = lanes.find(
        ({ name, settings }) => name === origin.lane && settings.stream === origin.stream,
      );
      if (lane === undefined) {
        refused.push({ number, reason: `there is no lane ${origin.lane} of ${origin.stream}` });
      } else if (lane.reader.againCount >= AGAIN_MAX) {
        refused.push({ number, reason: `${AGAIN_MAX} are on their way already` });
      } else if (!lane.reader.isSentAgain(origin.sequence)) {
        lane.reader.sendAgain(recordOf(letter, lane.settings.log));
        this.#lettersOf(lane).set(origin.sequence, number);
        started++;
      }
    }
    return { started, refused };
  }

  /** True when this record is a letter that was sent once more; it is removed then. Throws what the store throws. */
  onAcknowledged(lane: Lane, sequence: number, nowMs: number): boolean {
    const number = this.#again.get(lane)?.get(sequence);
    if (number === undefined) return false;
    lane.settle(sequence, nowMs);
    this.#forget(lane, sequence);
    this.letters.remove(number);
    this.#log("info", "uplink-dead-letter-delivered", { lane: lane.name, letter: number });
    return true;
  }

  isSentAgain(lane: Lane, sequence: number): boolean {
    return this.#again.get(lane)?.has(sequence) === true;
  }

  /** The letter was refused again: it stays one. Returns whether it was one. */
  giveUp(lane: Lane, sequence: number, reason: string): boolean {
    const number = this.#again.get(lane)?.get(sequence);
    if (number === undefined) return false;
    this.#forget(lane, sequence);
    this.#log("warn", "uplink-dead-letter-refused", { lane: lane.name, letter: number, reason });
    return true;
  }

  /** The connection ended: letters in flight stay letters. */
  giveUpInflight(lane: Lane, reason: string): void {
    const letters = this.#again.get(lane);
    if (letters === undefined) return;
    for (const sequence of [...letters.keys()]) {
      if (lane.settle(sequence, lane.lastProgressMs)) this.giveUp(lane, sequence, reason);
    }
  }

  /** A commit was flushed: letters that had to go are accounted for. Throws what the store throws. */
  onFlushed(): void {
    const dropped = this.letters.onFlushed();
    if (dropped === undefined) return;
    const { from, to } = dropped;
    const count = to - from + 1;
    const stream = `$dlq/${this.#options.name}`;
    this.#ledger.note({ lane: "", stream, from, to, count, reason: "dead-letters-full" });
    this.#ledger.write("");
    this.#log("warn", "uplink-dead-letters-full", { from, to, count });
  }

  #storeDoubt(): Failure | undefined {
    switch (this.#store.refusal()) {
      case "pending-full":
        return {
          class: "throttle",
          reason: "the disk has much to write",
          retryAfterMs: PENDING_RETRY_MS,
        };
      case "disk-full":
        return { class: "local", reason: "the disk has no room for a dead letter" };
      case "failed":
        return { class: "local", reason: "the store failed" };
      default:
        // A full store is emptied by going on.
        return undefined;
    }
  }

  #lettersOf(lane: Lane): Map<number, number> {
    let letters = this.#again.get(lane);
    if (letters === undefined) {
      letters = new Map();
      this.#again.set(lane, letters);
    }
    return letters;
  }

  #forget(lane: Lane, sequence: number): void {
    this.#again.get(lane)?.delete(sequence);
    lane.reader.forgetAgain(sequence);
  }

  /** The first, and then one line a minute with how many there were. */
  #logPut(lane: Lane, sequence: number, topic: string, reason: string, nowMs: number): void {
    const logged = this.#logged.get(lane);
    const count = (logged?.count ?? 0) + 1;
    if (logged !== undefined && nowMs - logged.atMs < LOG_EVERY_MS) {
      logged.count = count;
      return;
    }
    this.#logged.set(lane, { atMs: nowMs, count: 0 });
    this.#log("warn", "uplink-dead-letter", { lane: lane.name, sequence, topic, reason, count });
  }

  #log(level: "info" | "warn", event: string, fields: Readonly<Record<string, unknown>>): void {
    this.#options.log(level, event, { uplink: this.#options.name, ...fields });
  }
}
