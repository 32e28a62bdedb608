import type { LogId } from "../broker/store.ts";
import { Backoff } from "./backoff.ts";
import { Lane } from "./lane.ts";
import { LaneReader } from "./lane-reader.ts";
import { decodeProgress, Progress, progressKey } from "./progress.ts";
import { ProgressWriter } from "./progress-writer.ts";
import { adoptFound } from "./reconcile.ts";
import type { Failure, Link, Reconciliation } from "./remote.ts";
import type { LogLevel, UplinkLimits, UplinkOptions } from "./uplink-options.ts";

/** The lanes of one uplink with their progress on disk: what becomes of each, whatever the link does. */
export class Lanes {
  readonly all: readonly Lane[];
  readonly #options: UplinkOptions;
  readonly #limits: UplinkLimits;
  readonly #writers: readonly ProgressWriter[];
  #isStoreBroken = false;

  /** Reads the lanes' progress from the store. */
  constructor(options: UplinkOptions, limits: UplinkLimits) {
    this.#options = options;
    this.#limits = limits;
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

  onFlushed(): void {
    for (const writer of this.#writers) writer.onFlushed();
  }

  /** Stages the progress that is due; forced: whatever is not on disk. */
  persist(nowMs: number, isForced: boolean): void {
    if (this.#isStoreBroken) return;
    for (const writer of this.#writers) {
      const dueMs = writer.dueAtMs(nowMs);
      if (dueMs === undefined || (!isForced && nowMs < dueMs)) continue;
      try {
        writer.write();
      } catch (error) {
        // The store failed: this uplink is about to be replaced, and resending is all that it costs.
        this.#isStoreBroken = true;
        this.#log("error", "uplink-progress-not-stored", { reason: String(error) });
        return;
      }
    }
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
    const { stream } = lane.settings;
    const { class: failureClass, reason } = failure;
    const level = isPassing ? "info" : "warn";
    this.#log(level, "uplink-lane-stalled", { stream, class: failureClass, reason, delayMs });
  }

  /** The remote said what it has: that is done, the rest is sent. */
  onReconciled(lane: Lane, result: Reconciliation, nowMs: number): void {
    const { store } = this.#options;
    const { stream, log } = lane.settings;
    const { adopted, unknown } = adoptFound(store, log, lane.progress, result.found);
    lane.progress.reconciled(result.position);
    lane.counters.reconciledFound += adopted;
    lane.startStreaming(result.guarantee, nowMs);
    this.#log("info", "uplink-lane-streaming", {
      stream,
      from: lane.progress.mark + 1,
      reconciledFound: adopted,
      guarantee: result.guarantee.kind,
      why: result.guarantee.why,
    });
    if (result.warning !== undefined) {
      this.#log("warn", "uplink-remote-warning", { stream, reason: result.warning });
    }
    if (unknown > 0) {
      const reason =
        "the remote has records under our name that this store does not know: it was restored from an older copy, or cloned";
      this.#log("warn", "uplink-remote-ahead", { stream, count: unknown, reason });
    }
  }

  onAcknowledged(lane: Lane, sequence: number, position: number | undefined, nowMs: number): void {
    const bytes = lane.acknowledged(sequence, position, nowMs);
    if (bytes > 0) this.#writers[lane.index]?.noteBytes(bytes);
  }

  /** The remote does not take one record: throttled, or blocked with the reason. */
  onRefused(lane: Lane, sequence: number, failure: Failure, nowMs: number): void {
    if (lane.phase.kind !== "streaming" || lane.progress.done.has(sequence)) return;
    if (failure.class !== "throttle") {
      const reason = `record ${sequence} was refused: ${failure.reason}`;
      this.fail(lane, { ...failure, reason }, nowMs);
      return;
    }
    if (lane.lastAckMs > lane.throttledUntilMs) lane.backoff.reset();
    const isFirst = nowMs >= lane.throttledUntilMs;
    const pauseMs = isFirst ? (failure.retryAfterMs ?? lane.backoff.nextMs()) : 0;
    lane.throttled(sequence, nowMs, pauseMs);
    if (isFirst) {
      const { stream } = lane.settings;
      this.#log("info", "uplink-throttled", { stream, reason: failure.reason, pauseMs });
    }
  }

  #openLane(index: number): { lane: Lane; writer: ProgressWriter } {
    const settings = this.#options.lanes[index];
    if (settings === undefined) throw new RangeError(`no lane ${index}`);
    const { store, clock, name, random, ledger, log } = this.#options;
    const key = progressKey(name, settings.stream);
    const { progress, isOnDisk } = this.#readProgress(key, settings.stream, settings.log);
    const reader = new LaneReader({
      store,
      log: settings.log,
      clock,
      progress,
      filter: settings.filter,
      onLoss: ({ from, to }, reason) => {
        const count = to - from + 1;
        lane.counters.dropped += count;
        log("warn", "uplink-dropped", { stream: settings.stream, from, to, count, reason });
        ledger?.({ stream: settings.stream, from, to, count, reason });
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
    stream: string,
    logId: LogId,
  ): { progress: Progress; isOnDisk: boolean } {
    const { store, log } = this.#options;
    const record = store.get("meta", key);
    const stored = record === undefined ? undefined : decodeProgress(record);
    if (stored !== undefined) return { progress: stored, isOnDisk: true };
    if (record !== undefined) {
      // Nothing is lost: what is still there is offered again, and the remote drops what it has.
      log("error", "uplink-progress-damaged", { stream, bytes: record.length });
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
