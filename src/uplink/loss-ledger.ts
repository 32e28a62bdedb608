/**
 * What an uplink never delivered to its remote, durably: one record per range in the log `$ledger/{uplink}`, written in
 * the same commit as the progress that passes over the range. So the centre can be told "complete, except these".
 *
 * A record's payload is JSON, see `LossRecord`. The log is bounded: beyond `LEDGER_BYTES_MAX` its oldest records go,
 * and the first number that is still there says how many went.
 */
import { plainMessage } from "../broker/message.ts";
import type { LogId, Ordinal, Sequence, Store } from "../broker/store.ts";
import { Topic } from "../broker/topic.ts";
import type { Clock } from "../lib/clock.ts";

/**
 * - `trimmed`: the stream let go of it before it was delivered;
 * - `expired`: its MQTT expiry passed;
 * - `damaged`: it fails its checksum;
 * - `poisoned`: the remote never takes it; it is among the dead letters;
 * - `dead-letters-full`: dead letters that made room for newer ones. The range counts dead letters.
 */
export type LossReason = "trimmed" | "expired" | "damaged" | "poisoned" | "dead-letters-full";

/** A range of a stream that the uplink never delivered, both ends included. */
export interface LossRange {
  readonly lane: string;
  readonly stream: string;
  readonly from: number;
  readonly to: number;
  readonly count: number;
  readonly reason: LossReason;
}

export interface LossRecord extends LossRange {
  /** Its number in the ledger, from 1. */
  readonly number: number;
  readonly uplink: string;
  /** When it was noted, in ms since 1970. */
  readonly at: number;
}

/** Live bytes from which on the oldest records go. */
const LEDGER_BYTES_MAX = 4_194_304;
/** Share that goes at a time. */
const TRIM_SHARE = 1 / 4;
const READ_BYTES_MAX = 1_048_576;
/** Ranges that wait for their commit at most; more of them ask for one at once. */
const WAITING_MAX = 1_000;

const LEDGER_TOPIC = new Topic("$ledger");
const utf8 = new TextEncoder();
const text = new TextDecoder();

/** The log's name. Names of streams cannot hold `$`. */
export const ledgerLogName = (uplink: string): string => `$ledger/${uplink}`;

export class LossLedger {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #uplink: string;
  #log: LogId | undefined;
  #waiting: LossRange[] = [];
  /** A trim is on its way until this commit is flushed. */
  #trimmedIn = 0;

  constructor(store: Store, clock: Clock, uplink: string) {
    this.#store = store;
    this.#clock = clock;
    this.#uplink = uplink;
    this.#log = logNamed(store, ledgerLogName(uplink));
  }

  /** True when so much waits that it should be written now. */
  get isPressing(): boolean {
    return this.#waiting.length >= WAITING_MAX;
  }

  /** Notes a range; it is written with the lane's next progress. Ranges that continue one another become one. */
  note(range: LossRange): void {
    const last = this.#waiting.at(-1);
    const continues =
      last !== undefined &&
      last.lane === range.lane &&
      last.reason === range.reason &&
      last.to + 1 === range.from;
    if (!continues) {
      this.#waiting.push(range);
      return;
    }
    const count = last.count + range.count;
    this.#waiting[this.#waiting.length - 1] = { ...last, to: range.to, count };
  }

  /** Stages what waits for this lane. Returns it. Throws what the store throws. */
  write(lane: string): readonly LossRange[] {
    if (this.#waiting.length === 0) return [];
    const written = this.#waiting.filter((range) => range.lane === lane);
    this.#waiting = this.#waiting.filter((range) => range.lane !== lane);
    const now = this.#clock.now();
    for (const range of written) {
      this.#log ??= this.#store.openLog(ledgerLogName(this.#uplink));
      const bytes = utf8.encode(JSON.stringify({ uplink: this.#uplink, ...range, at: now }));
      this.#store.append(this.#log, plainMessage(LEDGER_TOPIC, bytes, now));
    }
    return written;
  }

  /** A commit was flushed: keeps the bound. */
  onFlushed(): void {
    if (this.#log === undefined || this.#store.flushedCommit < this.#trimmedIn) return;
    const { bytes, firstSequence, nextSequence } = this.#store.stats(this.#log);
    if (bytes < LEDGER_BYTES_MAX) return;
    const before = firstSequence + Math.ceil((nextSequence - firstSequence) * TRIM_SHARE);
    this.#trimmedIn = this.#store.openCommit;
    this.#store.trim(this.#log, before as Sequence, Number.MAX_SAFE_INTEGER as Ordinal);
  }

  /** Records from a number on, at most `limit`; the first one there may be later, when older ones went. */
  read(from: number, limit: number): LossRecord[] {
    const log = this.#log;
    if (log === undefined) return [];
    const { firstSequence, nextSequence } = this.#store.stats(log);
    const found: LossRecord[] = [];
    let next = Math.max(from, firstSequence);
    while (next < nextSequence && found.length < limit) {
      const wanted = limit - found.length;
      const batch = this.#store.read(log, next as Sequence, wanted, READ_BYTES_MAX);
      for (const { sequence, bytes, payloadStart, payloadEnd } of batch.records) {
        const body = JSON.parse(text.decode(bytes.subarray(payloadStart, payloadEnd)));
        found.push({ number: sequence, ...body });
      }
      if (batch.next <= next) break;
      next = batch.next;
    }
    return found;
  }
}

/** The log of this name, if the store has it. */
export function logNamed(store: Store, name: string): LogId | undefined {
  for (const [log, known] of store.logNames()) if (known === name) return log;
  return undefined;
}
