import type { LogId } from "../broker/store.ts";
import { Announcer } from "./announcer.ts";
import { Backoff } from "./backoff.ts";
import type { DeadLetters } from "./dead-letters.ts";
import { Lane, laneName } from "./lane.ts";
import { LaneReader } from "./lane-reader.ts";
import { LossLedger, type LossRange } from "./loss-ledger.ts";
import type { LaneInflight } from "./probe.ts";
import { decodeProgress, Progress, progressKey } from "./progress.ts";
import { ProgressWriter } from "./progress-writer.ts";
import { Quarantine, type RetryResult } from "./quarantine.ts";
import { adoptFound } from "./reconcile.ts";
import type { Failure, Link, Reconciliation } from "./remote.ts";
import type { LogLevel, UplinkLimits, UplinkOptions } from "./uplink-options.ts";

/** The lanes of one uplink with their progress on disk: what becomes of each, whatever the link does. */
export class Lanes {
  readonly all: readonly Lane[];
  readonly #options: UplinkOptions;
  readonly #limits: UplinkLimits;
  readonly #writers: readonly ProgressWriter[];
  readonly #ledger: LossLedger;
  readonly #quarantine: Quarantine;
  readonly #announcer = new Announcer();
  #isStoreBroken = false;

  /** Reads the lanes' progress from the store. */
  constructor(options: UplinkOptions, limits: UplinkLimits) {
    this.#options = options;
    this.#limits = limits;
    this.#ledger = new LossLedger(options.store, options.clock, options.name);
    this.#quarantine = new Quarantine(options, this.#ledger, limits.deadLetterBytesMax);
    const opened = options.lanes.map((_, index) => this.#openLane(index));
    this.all = opened.map(({ lane }) => lane);
    this.#writers = opened.map(({ writer }) => writer);
  }

  /** True when the disk knows all there is to know, or will never know more. */
  get isClean(): boolean {
    return this.#isStoreBroken || this.#writers.every((writer) => writer.isClean);
  }

  /** Everything up to this sequence is done, and that is on disk; undefined: no lane has this log. */
  persistedMark(log: LogId): number | undefined {
    let mark: number | undefined;
    for (const [index, lane] of this.all.entries()) {
      if (lane.settings.log !== log) continue;
      const own = this.#writers[index]?.persistedMark ?? 0;
      mark = mark === undefined ? own : Math.min(mark, own);
    }
    return mark;
  }

  get ledger(): LossLedger {
    return this.#ledger;
  }

  get letters(): DeadLetters {
    return this.#quarantine.letters;
  }

  onFlushed(): void {
    for (const writer of this.#writers) writer.onFlushed();
    this.#staging(() => {
      this.#ledger.onFlushed();
      this.#quarantine.onFlushed();
    });
  }

  /** What was in flight when the remote ended the connection. Dead letters that were sent again are left as they are. */
  onHungUp(reason: string): LaneInflight[] {
    const views: LaneInflight[] = [];
    for (const lane of this.all) {
      this.#quarantine.giveUpInflight(lane, reason);
      const view = lane.inflightView;
      if (view !== undefined) views.push(view);
    }
    return views;
  }

  /** Lets dead letters with these numbers be sent once more. */
  retryLetters(from: number, to: number): RetryResult {
    return this.#quarantine.retry(this.all, from, to);
  }

  /** Removes dead letters for good; returns how many. Throws what the store throws. */
  removeLetters(from: number, to: number): number {
    return this.letters.remove(from, to);
  }

  /** Stages the progress that is due; forced: whatever is not on disk. */
  persist(nowMs: number, isForced: boolean): void {
    const isPressing = isForced || this.#ledger.isPressing;
    for (const [index, writer] of this.#writers.entries()) {
      const dueMs = writer.dueAtMs(nowMs);
      if (dueMs === undefined || (!isPressing && nowMs < dueMs)) continue;
      this.#write(index);
    }
  }

  /** Stages a lane's losses and its progress over them, in one commit. */
  #write(index: number): void {
    const lane = this.all[index];
    if (lane === undefined) return;
    this.#staging(() => {
      const losses = this.#ledger.write(lane.name);
      this.#writers[index]?.write();
      this.#logLosses(lane, losses);
    });
  }

  /** Does what stages something, unless the store failed. Returns false when that was in vain. */
  #staging(act: () => void): boolean {
    if (this.#isStoreBroken) return false;
    try {
      act();
      return true;
    } catch (error) {
      // The store failed: this uplink is about to be replaced, and resending is all that it costs.
      this.#isStoreBroken = true;
      this.#log("error", "uplink-progress-not-stored", { reason: String(error) });
      return false;
    }
  }

  #logLosses(lane: Lane, losses: readonly LossRange[]): void {
    const dropped = losses.filter(({ reason }) => reason !== "poisoned");
    const first = dropped[0];
    const last = dropped.at(-1);
    if (first === undefined || last === undefined) return;
    const count = dropped.reduce((sum, range) => sum + range.count, 0);
    const reasons = [...new Set(dropped.map(({ reason }) => reason))];
    const { from } = first;
    this.#log("warn", "uplink-dropped", { lane: lane.name, from, to: last.to, count, reasons });
  }

  /** The next time at which something is to be done, for the lanes (if linked) and their progress. */
  nextDueMs(nowMs: number, isLinked: boolean): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const lane of isLinked ? this.all : []) {
      nextMs = Math.min(nextMs, this.dueMs(lane) ?? nextMs);
      if (lane.throttledUntilMs > nowMs) nextMs = Math.min(nextMs, lane.throttledUntilMs);
    }
    if (this.#isStoreBroken) return nextMs;
    for (const writer of this.#writers) nextMs = Math.min(nextMs, writer.dueAtMs(nowMs) ?? nextMs);
    return nextMs;
  }

  /** When something is to be done about this lane; undefined: nothing. */
  dueMs(lane: Lane): number | undefined {
    const { phase } = lane;
    switch (phase.kind) {
      case "idle":
        return undefined;
      case "reconciling":
        return phase.progressAtMs + this.#limits.reconcileTimeoutMs;
      case "streaming":
        return lane.progressDeadlineMs(this.#limits.progressDeadlineMinMs);
      case "waiting":
      case "blocked":
        return phase.retryAtMs;
    }
  }

  /** Asks the remote what it has of this lane. */
  reconcile(lane: Lane, link: Link, nowMs: number): void {
    const { nextSequence } = this.#options.store.stats(lane.settings.log);
    if (lane.progress.mark >= nextSequence) {
      const reason = `progress ${lane.progress.mark} is ahead of the log, which ends at ${nextSequence - 1}: the log was replaced`;
      this.fail(lane, { class: "config", reason }, nowMs);
      return;
    }
    lane.startReconcile(nowMs);
    link.reconcile(lane.index, lane.progress.remote);
  }

  /** The lane cannot go on now: it waits or is blocked, and says so. */
  fail(lane: Lane, failure: Failure, nowMs: number): void {
    if (lane.streamingSinceMs !== undefined) {
      if (nowMs - lane.streamingSinceMs >= this.#limits.stableMs) lane.backoff.reset();
    }
    const isPassing = failure.class === "transport" || failure.class === "throttle";
    const delayMs = isPassing
      ? Math.max(failure.retryAfterMs ?? 0, lane.backoff.nextMs())
      : this.#limits.slowRetryMs;
    lane.stall(isPassing ? "waiting" : "blocked", nowMs + delayMs, failure);
    const { class: failureClass, reason } = failure;
    if (!this.#announcer.isNews(lane.name, `${failureClass}: ${reason}`)) return;
    const level = isPassing ? "info" : "warn";
    const fields = { lane: lane.name, class: failureClass, reason, delayMs };
    this.#log(level, "uplink-lane-stalled", fields);
  }

  /** The remote said what it has: that is done, the rest is sent. */
  onReconciled(lane: Lane, result: Reconciliation, nowMs: number): void {
    const { store } = this.#options;
    const { log } = lane.settings;
    const { adopted, unknown } = adoptFound(store, log, lane.progress, result.found);
    lane.progress.reconciled(result.position);
    lane.counters.reconciledFound += adopted;
    lane.startStreaming(result.guarantee, nowMs);
    this.#log("info", "uplink-lane-streaming", {
      lane: lane.name,
      from: lane.progress.mark + 1,
      reconciledFound: adopted,
      guarantee: result.guarantee.kind,
      why: result.guarantee.why,
    });
    if (result.warning !== undefined) {
      this.#log("warn", "uplink-remote-warning", { lane: lane.name, reason: result.warning });
    }
    if (unknown > 0) {
      const reason =
        "the remote has records under our name that this store does not know: it was restored from an older copy, or cloned";
      this.#log("warn", "uplink-remote-ahead", { lane: lane.name, count: unknown, reason });
    }
  }

  onAcknowledged(lane: Lane, sequence: number, position: number | undefined, nowMs: number): void {
    if (this.#quarantine.isSentAgain(lane, sequence)) {
      this.#staging(() => this.#quarantine.onAcknowledged(lane, sequence, nowMs));
      return;
    }
    const bytes = lane.acknowledged(sequence, position, nowMs);
    if (bytes > 0) this.#writers[lane.index]?.noteBytes(bytes);
    // It streams for good now: the next trouble is news.
    if (bytes > 0) this.#announcer.forget(lane.name);
  }

  /** The remote does not take one record: to the dead letters with it, or throttled, or blocked with the reason. */
  onRefused(lane: Lane, sequence: number, failure: Failure, nowMs: number): void {
    const isAgain = this.#quarantine.isSentAgain(lane, sequence);
    if (lane.phase.kind !== "streaming") return;
    if (!isAgain && lane.progress.done.has(sequence)) return;
    if (failure.class === "poison") {
      this.putAside(lane, sequence, failure, nowMs);
      return;
    }
    if (failure.class !== "throttle") {
      const reason = `record ${sequence} was refused: ${failure.reason}`;
      this.fail(lane, { ...failure, reason }, nowMs);
      return;
    }
    this.#throttle(lane, sequence, failure, nowMs);
  }

  /** Puts a record among the dead letters and goes on; or stalls the lane with the reason why not. */
  putAside(lane: Lane, sequence: number, failure: Failure, nowMs: number): void {
    let refusal: Failure | undefined;
    const isStaged = this.#staging(() => {
      refusal = this.#quarantine.put(lane, sequence, failure, nowMs);
    });
    if (isStaged && refusal === undefined) this.#write(lane.index);
    else this.fail(lane, refusal ?? { class: "local", reason: "the store failed" }, nowMs);
  }

  #throttle(lane: Lane, sequence: number, failure: Failure, nowMs: number): void {
    if (lane.lastAckMs > lane.throttledUntilMs) lane.backoff.reset();
    const isFirst = nowMs >= lane.throttledUntilMs;
    const pauseMs = isFirst ? (failure.retryAfterMs ?? lane.backoff.nextMs()) : 0;
    lane.throttled(sequence, nowMs, pauseMs);
    if (!isFirst || !this.#announcer.isNews(lane.name, `throttled: ${failure.reason}`)) return;
    this.#log("info", "uplink-throttled", { lane: lane.name, reason: failure.reason, pauseMs });
  }

  #openLane(index: number): { lane: Lane; writer: ProgressWriter } {
    const settings = this.#options.lanes[index];
    if (settings === undefined) throw new RangeError(`no lane ${index}`);
    const { store, clock, name, random, onLoss } = this.#options;
    const { stream } = settings;
    const laneKey = laneName(settings);
    // Another stream under the same name is another lane: its sequences mean other records.
    const key = progressKey(name, laneKey === stream ? stream : `${stream}/${laneKey}`);
    const { progress, isOnDisk } = this.#readProgress(key, laneKey, settings.log);
    const reader = new LaneReader({
      store,
      log: settings.log,
      clock,
      progress,
      filters: settings.filters,
      onLoss: ({ from, to }, reason) => {
        const count = to - from + 1;
        lane.counters.dropped += count;
        const range = { lane: laneKey, stream, from, to, count, reason };
        this.#ledger.note(range);
        onLoss?.(range);
      },
    });
    const backoff = new Backoff(this.#limits, random);
    const { windowMax } = this.#limits;
    const lane: Lane = new Lane(index, settings, { progress, reader, backoff, windowMax });
    const writer = new ProgressWriter({ store, key, progress, limits: this.#limits }, isOnDisk);
    return { lane, writer };
  }

  #readProgress(
    key: Uint8Array,
    lane: string,
    logId: LogId,
  ): { progress: Progress; isOnDisk: boolean } {
    const { store, log } = this.#options;
    const record = store.get("meta", key);
    const stored = record === undefined ? undefined : decodeProgress(record);
    if (stored !== undefined) return { progress: stored, isOnDisk: true };
    if (record !== undefined) {
      // Nothing is lost: what is still there is offered again, and the remote drops what it has.
      log("error", "uplink-progress-damaged", { lane, bytes: record.length });
    }
    const progress = new Progress();
    // What was trimmed before this lane existed was never its to deliver.
    const { firstSequence } = store.stats(logId);
    if (firstSequence > 1) progress.done.add(1, firstSequence - 1);
    return { progress, isOnDisk: false };
  }

  #log(level: LogLevel, event: string, fields: Record<string, unknown>): void {
    this.#options.log(level, event, { uplink: this.#options.name, ...fields });
  }
}
