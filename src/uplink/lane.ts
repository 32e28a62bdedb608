/**
 * One stream as one uplink forwards it: what is in flight, how much may be, and how far it has come. Knows no
 * driver and no timer; time comes in as `nowMs`.
 *
 *     idle         no link                                          -> reconciling (link connected)
 *     reconciling  the remote is asked what it has                  -> streaming, waiting, blocked, idle
 *     streaming    records go out in order, acknowledgements come   -> reconciling (deadline), waiting, blocked, idle
 *     waiting      trouble of this lane alone, short backoff        -> reconciling, idle
 *     blocked      somebody has to do something; slow retry         -> reconciling, idle
 */
import type { LogId, LogRecord } from "../broker/store.ts";
import type { Instant } from "../lib/clock.ts";
import type { Backoff } from "./backoff.ts";
import type { LaneReader } from "./lane-reader.ts";
import { PoisonGuard } from "./poison-guard.ts";
import type { LaneInflight } from "./probe.ts";
import type { Progress } from "./progress.ts";
import type { Failure, Guarantee } from "./remote.ts";

export type LaneClass = "alarm" | "normal";

export interface LaneSettings {
  /** Unique among the uplink's lanes; also the lane's name at the remote. Default: the stream's name. */
  readonly name?: string;
  /** Name of the stream. */
  readonly stream: string;
  readonly log: LogId;
  /** Alarm lanes go strictly first. */
  readonly class: LaneClass;
  /** Only topics that match one of them are forwarded; the others count as done. Default: all. */
  readonly filters?: readonly string[];
  /** Template of the topic at the remote, see `topic-template.ts`. Default: the driver's. */
  readonly topic?: string;
  /** Highest QoS at an MQTT remote; default 1. With 0 a record is done when it was written to the connection. */
  readonly maxQos?: 0 | 1;
}

/** The lane's name. */
export const laneName = (settings: LaneSettings): string => settings.name ?? settings.stream;

export type LanePhase =
  | { readonly kind: "idle" }
  | { readonly kind: "reconciling"; readonly progressAtMs: number }
  | { readonly kind: "streaming" }
  | { readonly kind: "waiting"; readonly retryAtMs: number; readonly failure: Failure }
  | { readonly kind: "blocked"; readonly retryAtMs: number; readonly failure: Failure };

interface Inflight {
  readonly bytes: number;
  readonly sentAtMs: number;
  readonly receivedAt: Instant;
}

/** Counted since the uplink was made. */
export interface LaneCounters {
  acknowledged: number;
  /** Sent again, after a reconcile or a refusal. */
  resent: number;
  /** Found at the remote by a reconcile without ever having been acknowledged. */
  reconciledFound: number;
  /** Never sent, accounted in the ledger. */
  dropped: number;
  /** Refused for good, kept among the dead letters. */
  deadLetters: number;
  throttled: number;
  /** Acknowledgements for nothing that waited for one. */
  strayAcks: number;
}

/** Records in flight that a fresh connection starts with. */
const WINDOW_INITIAL = 32;
/** Bytes per second assumed of a remote that has not shown its rate yet. */
const RATE_INITIAL = 8_192;
/** Longest that a slow transfer alone may extend the progress deadline. */
const TRANSFER_MS_MAX = 300_000;
/** Time in which a remote hangs up on a record, at least; longer with long round trips. */
const PROMPT_MS_MIN = 500;
/** Shortest stretch that a rate is measured over. */
const RATE_SAMPLE_MS = 500;
/** What a record costs beside its topic and payload: headers, ids, bookkeeping. */
const RECORD_OVERHEAD_BYTES = 160;

/** Bytes a record counts for against `inflightBytesMax`. */
export function inflightBytesOf(record: LogRecord): number {
  let bytes = record.payloadEnd - record.payloadStart + record.topic.bytes.length;
  for (const [name, value] of record.properties?.userProperties ?? []) {
    bytes += name.length + value.length;
  }
  return bytes + RECORD_OVERHEAD_BYTES;
}

export class Lane {
  readonly index: number;
  readonly settings: LaneSettings;
  readonly progress: Progress;
  readonly reader: LaneReader;
  readonly backoff: Backoff;
  readonly guard = new PoisonGuard();
  readonly counters: LaneCounters = {
    acknowledged: 0,
    resent: 0,
    reconciledFound: 0,
    dropped: 0,
    deadLetters: 0,
    throttled: 0,
    strayAcks: 0,
  };
  phase: LanePhase = { kind: "idle" };
  guarantee: Guarantee | undefined;
  /** Nothing is sent before this time, because the remote wants less. */
  throttledUntilMs = 0;
  /** The time of the last acknowledgement, or of the first send after nothing was in flight. */
  lastProgressMs = 0;
  /** The time of the last acknowledgement. */
  lastAckMs = Number.NEGATIVE_INFINITY;
  /** Since when it streams without a stall; undefined: it does not. */
  streamingSinceMs: number | undefined;

  readonly #windowMax: number;
  readonly #inflight = new Map<number, Inflight>();
  #inflightBytes = 0;
  #window = WINDOW_INITIAL;
  #windowGoal: number;
  #roundTripMs: number | undefined;
  #bytesPerSecond = RATE_INITIAL;
  #sampleBytes = 0;
  #sampleSinceMs = 0;
  #mustRewind = false;

  constructor(
    index: number,
    settings: LaneSettings,
    parts: { progress: Progress; reader: LaneReader; backoff: Backoff; windowMax: number },
  ) {
    this.index = index;
    this.settings = settings;
    this.progress = parts.progress;
    this.reader = parts.reader;
    this.backoff = parts.backoff;
    this.#windowMax = parts.windowMax;
    this.#windowGoal = parts.windowMax;
  }

  get name(): string {
    return laneName(this.settings);
  }

  get inflightCount(): number {
    return this.#inflight.size;
  }

  get inflightBytes(): number {
    return this.#inflightBytes;
  }

  /** How many more records the lane itself allows in flight. */
  room(nowMs: number): number {
    if (this.phase.kind !== "streaming" || nowMs < this.throttledUntilMs) return 0;
    // After a refusal the order is kept by letting what is in flight settle first.
    if (this.#mustRewind) {
      if (this.#inflight.size > 0) return 0;
      this.#mustRewind = false;
      this.reader.rewind();
    }
    return Math.floor(this.#window) - this.#inflight.size;
  }

  /** Receive time of the oldest record in flight; undefined: none. */
  get oldestInflightAt(): Instant | undefined {
    for (const inflight of this.#inflight.values()) return inflight.receivedAt;
    return undefined;
  }

  /** What is in flight, for the search after a record that ends connections; undefined: nothing. */
  get inflightView(): LaneInflight | undefined {
    let lowest = Number.POSITIVE_INFINITY;
    let highest = 0;
    let lastSentAtMs = 0;
    for (const [sequence, { sentAtMs }] of this.#inflight) {
      lowest = Math.min(lowest, sequence);
      highest = Math.max(highest, sequence);
      lastSentAtMs = Math.max(lastSentAtMs, sentAtMs);
    }
    const count = this.#inflight.size;
    if (count === 0) return undefined;
    const promptMs = Math.max(PROMPT_MS_MIN, 2 * (this.#roundTripMs ?? 0));
    return { lane: this.index, lowest, highest, count, lastSentAtMs, promptMs };
  }

  /** A new link: what was in flight on the old one is unknown now. */
  detach(): void {
    this.phase = { kind: "idle" };
    this.streamingSinceMs = undefined;
    this.#forgetInflight();
    this.#window = Math.min(WINDOW_INITIAL, this.#windowMax);
    this.#windowGoal = this.#windowMax;
    this.throttledUntilMs = 0;
  }

  startReconcile(nowMs: number): void {
    this.phase = { kind: "reconciling", progressAtMs: nowMs };
    this.#forgetInflight();
  }

  startStreaming(guarantee: Guarantee, nowMs: number): void {
    this.phase = { kind: "streaming" };
    this.streamingSinceMs ??= nowMs;
    this.guarantee = guarantee;
    this.#forgetInflight();
  }

  stall(kind: "waiting" | "blocked", retryAtMs: number, failure: Failure): void {
    this.phase = { kind, retryAtMs, failure };
    this.streamingSinceMs = undefined;
    this.#forgetInflight();
  }

  // Hot path: per record; allocates one small object.
  sent(record: LogRecord, bytes: number, nowMs: number): void {
    const { sequence } = record;
    if (sequence <= this.progress.highestSent) this.counters.resent++;
    if (this.#inflight.size === 0) {
      this.lastProgressMs = nowMs;
      this.#sampleSinceMs = nowMs;
      this.#sampleBytes = 0;
    }
    this.progress.sent(sequence);
    this.#inflight.set(sequence, { bytes, sentAtMs: nowMs, receivedAt: record.receivedAt });
    this.#inflightBytes += bytes;
  }

  /**
   * The remote has it. Also counts when it comes late, for what was sent on this lane and is asked about again
   * meanwhile; not for what was never sent. Returns its bytes, 0 when nothing waited for it.
   */
  // Hot path: per acknowledgement.
  acknowledged(sequence: number, position: number | undefined, nowMs: number): number {
    const inflight = this.#take(sequence);
    if (inflight === undefined && sequence > this.progress.highestSent) {
      this.counters.strayAcks++;
      return 0;
    }
    if (!this.progress.acknowledged(sequence, position)) {
      this.counters.strayAcks++;
      return 0;
    }
    this.counters.acknowledged++;
    this.guard.onAcknowledged();
    this.lastProgressMs = nowMs;
    this.lastAckMs = nowMs;
    if (inflight === undefined) return RECORD_OVERHEAD_BYTES;
    this.#measure(inflight, nowMs);
    if (this.#window < this.#windowGoal) this.#window += 1;
    else this.#window = Math.min(this.#windowMax, this.#window + 1 / this.#window);
    return inflight.bytes;
  }

  /** Nothing more comes for this record on this link. Returns whether it was in flight. */
  settle(sequence: number, nowMs: number): boolean {
    if (this.#take(sequence) === undefined) return false;
    this.lastProgressMs = nowMs;
    return true;
  }

  /** Reads again from the first record that is not done, once nothing is in flight. */
  rewindWhenSettled(): void {
    this.#mustRewind = true;
  }

  /** The remote wants less: half the window, once per pause, and from the refused record on again. */
  throttled(sequence: number, nowMs: number, pauseMs: number): void {
    this.#take(sequence);
    this.counters.throttled++;
    this.#mustRewind = true;
    this.lastProgressMs = nowMs;
    if (nowMs < this.throttledUntilMs) return;
    this.#windowGoal = Math.max(1, Math.floor(this.#window / 2));
    this.#window = this.#windowGoal;
    this.throttledUntilMs = nowMs + pauseMs;
  }

  /** When to give up waiting for an acknowledgement; undefined: none is waited for. */
  progressDeadlineMs(minimumMs: number): number | undefined {
    if (this.phase.kind !== "streaming" || this.#inflight.size === 0) return undefined;
    const transferMs = Math.min(
      TRANSFER_MS_MAX,
      (this.#inflightBytes / this.#bytesPerSecond) * 1_000,
    );
    const patienceMs = Math.max(minimumMs, 4 * (this.#roundTripMs ?? 0) + transferMs);
    return this.lastProgressMs + patienceMs;
  }

  #take(sequence: number): Inflight | undefined {
    const inflight = this.#inflight.get(sequence);
    if (inflight !== undefined) {
      this.#inflight.delete(sequence);
      this.#inflightBytes -= inflight.bytes;
    }
    return inflight;
  }

  #measure(inflight: Inflight, nowMs: number): void {
    const roundTripMs = nowMs - inflight.sentAtMs;
    this.#roundTripMs =
      this.#roundTripMs === undefined ? roundTripMs : (this.#roundTripMs * 7 + roundTripMs) / 8;
    this.#sampleBytes += inflight.bytes;
    const sampleMs = nowMs - this.#sampleSinceMs;
    if (sampleMs < RATE_SAMPLE_MS) return;
    const sampled = (this.#sampleBytes / sampleMs) * 1_000;
    this.#bytesPerSecond = (this.#bytesPerSecond + sampled) / 2;
    this.#sampleBytes = 0;
    this.#sampleSinceMs = nowMs;
  }

  #forgetInflight(): void {
    this.#inflight.clear();
    this.#inflightBytes = 0;
    this.#mustRewind = false;
    this.reader.rewind();
  }
}
