/**
 * The store-and-forward uplink: a cursor over logs that ends in somebody else's cluster.
 *
 *     paused       not started, or stopped                     -> connecting (start)
 *     waiting      backoff after trouble                       -> connecting (time is up)
 *     connecting   the driver dials                            -> linked, waiting, blocked
 *     linked       shown as reconciling until a lane streams   -> waiting, blocked (link gone), draining (stop)
 *     draining     nothing new is sent, what is in flight may settle -> paused
 *     blocked      auth, config, fenced: slow retry            -> connecting (time is up)
 *
 * Events of the driver and of the store change state and ask for a turn; `#turn` does everything that follows
 * from state and time. Lanes have states of their own, see lane.ts.
 */
import type { LogId, Sequence } from "../broker/store.ts";
import { Backoff } from "./backoff.ts";
import { Lane } from "./lane.ts";
import { LaneReader } from "./lane-reader.ts";
import { decodeProgress, Progress, progressKey } from "./progress.ts";
import { ProgressWriter } from "./progress-writer.ts";
import { adoptFound } from "./reconcile.ts";
import type { Failure, Link, LinkCapabilities, LinkEvents, Reconciliation } from "./remote.ts";
import { Sender } from "./sender.ts";
import { systemTimer, type Timer } from "./timer.ts";
import { UPLINK_LIMITS, type UplinkLimits, type UplinkOptions } from "./uplink-options.ts";
import {
  laneStatus,
  type UplinkState,
  type UplinkStatus,
  weakestGuarantee,
} from "./uplink-status.ts";

type Phase =
  | { readonly kind: "paused" }
  | { readonly kind: "waiting"; readonly retryAtMs: number; readonly failure: Failure }
  | { readonly kind: "connecting"; readonly deadlineMs: number }
  | { readonly kind: "linked"; readonly capabilities: LinkCapabilities }
  | { readonly kind: "draining"; readonly deadlineMs: number }
  | { readonly kind: "blocked"; readonly retryAtMs: number; readonly failure: Failure };

/** Most that a stop spends on the last progress and on closing, beyond its own time. */
const CLOSE_MS_MIN = 250;

export class Uplink {
  readonly #options: UplinkOptions;
  readonly #limits: UplinkLimits;
  readonly #timer: Timer;
  readonly #lanes: readonly Lane[];
  readonly #writers: readonly ProgressWriter[];
  readonly #backoff: Backoff;
  readonly #sender: Sender;
  #phase: Phase = { kind: "paused" };
  #phaseSinceMs: number;
  #link: Link | undefined;
  /** Events of an older link are not ours any more. */
  #linkNumber = 0;
  #streamingSinceMs: number | undefined;
  #isTurnWanted = false;
  #isStoreBroken = false;
  #cancelTimer: (() => void) | undefined;
  #onDrained: (() => void) | undefined;
  #onClean: (() => void) | undefined;
  #stopped: Promise<void> | undefined;

  /** Reads the lanes' progress from the store; touches nothing else until `start`. */
  constructor(options: UplinkOptions) {
    this.#options = options;
    this.#limits = { ...UPLINK_LIMITS, ...options };
    this.#timer = options.timer ?? systemTimer;
    this.#phaseSinceMs = this.#timer.nowMs();
    this.#backoff = new Backoff(this.#limits, options.random);
    const opened = options.lanes.map((_, index) => this.#openLane(index));
    this.#lanes = opened.map(({ lane }) => lane);
    this.#writers = opened.map(({ writer }) => writer);
    this.#sender = new Sender(this.#lanes, this.#limits);
  }

  start(): void {
    if (this.#phase.kind === "paused" && this.#stopped === undefined) this.#connect();
  }

  /** A commit of the store was flushed: there may be records to send, or progress is on disk. */
  onFlushed(): void {
    for (const writer of this.#writers) writer.onFlushed();
    if (this.#onClean !== undefined) this.#checkClean();
    if (this.#phase.kind === "linked") this.#wake();
  }

  /** Every record of the log below this is done, and that is on disk: it may be trimmed as far as this uplink is concerned. */
  doneBefore(log: LogId): Sequence {
    let before: number | undefined;
    for (const [index, lane] of this.#lanes.entries()) {
      if (lane.settings.log !== log) continue;
      const laneBefore = (this.#writers[index]?.persistedMark ?? 0) + 1;
      before = before === undefined ? laneBefore : Math.min(before, laneBefore);
    }
    // A log that is none of our lanes does not wait for us.
    return (before ?? Number.MAX_SAFE_INTEGER) as Sequence;
  }

  /**
   * The operator's word that the remote is right as it is: what is kept about its numbers is forgotten, and a lane
   * that was blocked because the remote was purged, restored or recreated goes on with its next record.
   */
  forgetRemote(stream: string): void {
    for (const lane of this.#lanes) {
      if (lane.settings.stream !== stream) continue;
      lane.progress.reconciled(undefined);
      if (lane.phase.kind === "blocked") this.#reconcile(lane);
    }
    this.#wake();
  }

  status(): UplinkStatus {
    const nowMs = this.#timer.nowMs();
    const { store, clock, name, driver } = this.#options;
    return {
      name,
      driver: driver.name,
      state: this.#state(),
      blockedReason: this.#reason(),
      sinceMs: nowMs - this.#phaseSinceMs,
      lanes: this.#lanes.map((lane) => laneStatus(lane, store, clock, nowMs)),
      guarantee: weakestGuarantee(this.#lanes),
    };
  }

  /**
   * Sends nothing new, lets what is in flight settle, persists the progress and closes. Settles within `timeoutMs`
   * and a little, whatever remote and store do. The uplink cannot be started again.
   */
  stop(timeoutMs: number): Promise<void> {
    this.#stopped ??= this.#stop(timeoutMs);
    return this.#stopped;
  }

  async #stop(timeoutMs: number): Promise<void> {
    const deadlineMs = this.#timer.nowMs() + timeoutMs;
    if (this.#phase.kind === "linked" && timeoutMs > 0) {
      this.#enter({ kind: "draining", deadlineMs });
      await new Promise<void>((resolve) => {
        this.#onDrained = resolve;
        this.#wake();
      });
    }
    const leftMs = Math.max(CLOSE_MS_MIN, deadlineMs - this.#timer.nowMs());
    const link = this.#link;
    this.#dropLink();
    this.#enter({ kind: "paused" });
    this.#persist(true);
    const closing = link?.close(leftMs).catch(() => undefined);
    await Promise.all([closing, this.#untilClean(leftMs)]);
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  /** Resolves when the progress is on disk, or after the time. */
  #untilClean(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#timer.schedule(timeoutMs, resolve);
      this.#onClean = () => {
        cancel();
        resolve();
      };
      this.#checkClean();
    });
  }

  #checkClean(): void {
    this.#persist(true);
    if (this.#isStoreBroken || this.#writers.every((writer) => writer.isClean)) this.#onClean?.();
  }

  // -- lanes ---------------------------------------------------------------------------------------------

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

  #reconcile(lane: Lane): void {
    if (this.#link === undefined || this.#phase.kind !== "linked") return;
    const { nextSequence } = this.#options.store.stats(lane.settings.log);
    if (lane.progress.mark >= nextSequence) {
      const reason = `progress ${lane.progress.mark} is ahead of the log, which ends at ${nextSequence - 1}: the log was replaced`;
      this.#laneFailed(lane, { class: "config", reason });
      return;
    }
    lane.startReconcile(this.#timer.nowMs());
    this.#link.reconcile(lane.index, lane.progress.remote);
  }

  #laneFailed(lane: Lane, failure: Failure): void {
    const nowMs = this.#timer.nowMs();
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

  #onReconciled(lane: Lane, result: Reconciliation): void {
    const { store } = this.#options;
    const { stream, log } = lane.settings;
    const { adopted, unknown } = adoptFound(store, log, lane.progress, result.found);
    lane.progress.reconciled(result.position);
    lane.counters.reconciledFound += adopted;
    const nowMs = this.#timer.nowMs();
    lane.startStreaming(result.guarantee, nowMs);
    this.#streamingSinceMs ??= nowMs;
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

  // -- the link ------------------------------------------------------------------------------------------

  #connect(): void {
    const { driver, edgeId, name, clock } = this.#options;
    const nowMs = this.#timer.nowMs();
    this.#enter({ kind: "connecting", deadlineMs: nowMs + this.#limits.connectTimeoutMs });
    const lanes = this.#lanes.map((lane) => lane.settings.stream);
    this.#linkNumber++;
    this.#link = driver.open(
      { edgeId, uplink: name, lanes, clock },
      this.#eventsOf(this.#linkNumber),
    );
    this.#wake();
  }

  /** What the link with this number may tell us, as long as it is the current one. */
  #eventsOf(linkNumber: number): LinkEvents {
    const withLane = (index: number, act: (lane: Lane) => void): void => {
      const lane = this.#lanes[index];
      if (linkNumber !== this.#linkNumber || lane === undefined) return;
      act(lane);
      this.#wake();
    };
    return {
      onConnected: (capabilities) => {
        if (linkNumber !== this.#linkNumber || this.#phase.kind !== "connecting") return;
        this.#log("info", "uplink-connected", { address: capabilities.address });
        this.#enter({ kind: "linked", capabilities });
        for (const lane of this.#lanes) this.#reconcile(lane);
        this.#wake();
      },
      onReconciled: (index, result) =>
        withLane(index, (lane) => {
          if (lane.phase.kind === "reconciling") this.#onReconciled(lane, result);
        }),
      onReconcileFailed: (index, failure) =>
        withLane(index, (lane) => {
          if (lane.phase.kind === "reconciling") this.#laneFailed(lane, failure);
        }),
      onReconcileProgress: (index) =>
        withLane(index, (lane) => {
          if (lane.phase.kind === "reconciling") {
            lane.phase = { kind: "reconciling", progressAtMs: this.#timer.nowMs() };
          }
        }),
      onAcknowledged: (index, sequence, position) =>
        withLane(index, (lane) => {
          const bytes = lane.acknowledged(sequence, position, this.#timer.nowMs());
          if (bytes > 0) this.#writers[index]?.noteBytes(bytes);
        }),
      onRefused: (index, sequence, failure) =>
        withLane(index, (lane) => this.#onRefused(lane, sequence, failure)),
      onLaneFailed: (index, failure) =>
        withLane(index, (lane) => {
          const { kind } = lane.phase;
          if (kind === "streaming" || kind === "reconciling") this.#laneFailed(lane, failure);
        }),
      onClosed: (failure) => {
        if (linkNumber === this.#linkNumber) this.#linkFailed(failure);
      },
    };
  }

  #onRefused(lane: Lane, sequence: number, failure: Failure): void {
    if (lane.phase.kind !== "streaming" || lane.progress.done.has(sequence)) return;
    if (failure.class !== "throttle") {
      const reason = `record ${sequence} was refused: ${failure.reason}`;
      this.#laneFailed(lane, { ...failure, reason });
      return;
    }
    const nowMs = this.#timer.nowMs();
    if (lane.lastAckMs > lane.throttledUntilMs) lane.backoff.reset();
    const isFirst = nowMs >= lane.throttledUntilMs;
    const pauseMs = isFirst ? (failure.retryAfterMs ?? lane.backoff.nextMs()) : 0;
    lane.throttled(sequence, nowMs, pauseMs);
    if (isFirst) {
      const { stream } = lane.settings;
      this.#log("info", "uplink-throttled", { stream, reason: failure.reason, pauseMs });
    }
  }

  #linkFailed(failure: Failure): void {
    const nowMs = this.#timer.nowMs();
    const since = this.#streamingSinceMs;
    if (since !== undefined && nowMs - since >= this.#limits.stableMs) this.#backoff.reset();
    const wasDraining = this.#phase.kind === "draining";
    this.#link?.destroy();
    this.#dropLink();
    if (wasDraining) {
      this.#onDrained?.();
      return;
    }
    const { class: failureClass, reason } = failure;
    const isBlocked =
      failureClass === "auth" || failureClass === "config" || failureClass === "fenced";
    const delayMs = isBlocked
      ? this.#limits.slowRetryMs
      : Math.max(failure.retryAfterMs ?? 0, this.#backoff.nextMs());
    this.#enter({ kind: isBlocked ? "blocked" : "waiting", retryAtMs: nowMs + delayMs, failure });
    const level = isBlocked ? "warn" : "info";
    this.#log(level, "uplink-disconnected", { class: failureClass, reason, delayMs });
    this.#wake();
  }

  #dropLink(): void {
    this.#link = undefined;
    this.#linkNumber++;
    this.#streamingSinceMs = undefined;
    for (const lane of this.#lanes) lane.detach();
  }

  // -- the turn ------------------------------------------------------------------------------------------

  #wake(): void {
    if (this.#isTurnWanted) return;
    this.#isTurnWanted = true;
    this.#timer.schedule(0, () => {
      this.#isTurnWanted = false;
      this.#turn();
    });
  }

  #turn(): void {
    const nowMs = this.#timer.nowMs();
    switch (this.#phase.kind) {
      case "waiting":
      case "blocked":
        if (nowMs >= this.#phase.retryAtMs) this.#connect();
        break;
      case "connecting":
        if (nowMs >= this.#phase.deadlineMs) {
          const reason = `no connection within ${this.#limits.connectTimeoutMs} ms`;
          this.#linkFailed({ class: "transport", reason });
        }
        break;
      case "linked":
        this.#checkLanes(nowMs);
        this.#send(nowMs);
        break;
      case "draining":
        if (this.#sender.inflightCount === 0 || nowMs >= this.#phase.deadlineMs) {
          this.#onDrained?.();
        }
        break;
      case "paused":
        return;
    }
    this.#persist(false);
    this.#arm(nowMs);
  }

  #checkLanes(nowMs: number): void {
    for (const lane of this.#lanes) {
      // One stuck lane may have taken the link down.
      if (this.#phase.kind !== "linked") return;
      const dueMs = this.#laneDueMs(lane);
      if (dueMs === undefined || nowMs < dueMs) continue;
      const { kind } = lane.phase;
      if (kind === "waiting" || kind === "blocked") this.#reconcile(lane);
      else if (kind === "streaming" || kind === "reconciling") this.#laneStuck(lane);
    }
  }

  /** When something is to be done about this lane. */
  #laneDueMs(lane: Lane): number | undefined {
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

  /** No progress in time. Alone, when others on the same link go on; else the link is dead. */
  #laneStuck(lane: Lane): void {
    const isReconciling = lane.phase.kind === "reconciling";
    const sinceMs =
      lane.phase.kind === "reconciling" ? lane.phase.progressAtMs : lane.lastProgressMs;
    const reason = isReconciling
      ? "the remote did not say in time what it has"
      : `no acknowledgement in time, ${lane.inflightCount} in flight`;
    const failure: Failure = { class: "transport", reason };
    const othersGoOn = this.#lanes.some((other) => other !== lane && other.lastAckMs > sinceMs);
    const isOnePossible =
      this.#phase.kind === "linked" && this.#phase.capabilities.reconcilesLanesAlone;
    if (isOnePossible && othersGoOn) {
      if (isReconciling) this.#laneFailed(lane, failure);
      else this.#reconcile(lane);
      return;
    }
    this.#linkFailed(failure);
  }

  #send(nowMs: number): void {
    if (this.#phase.kind !== "linked" || this.#link === undefined) return;
    const { windowMax } = this.#phase.capabilities;
    const stuck = this.#sender.send(this.#link, windowMax, nowMs);
    if (stuck !== undefined) this.#laneFailed(stuck.lane, stuck.failure);
    if (this.#sender.isCutShort || stuck !== undefined) this.#wake();
  }

  #persist(isForced: boolean): void {
    if (this.#isStoreBroken) return;
    const nowMs = this.#timer.nowMs();
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

  /** Sets the one timer to the next time at which something is to be done. */
  #arm(nowMs: number): void {
    let nextMs = Number.POSITIVE_INFINITY;
    if (this.#phase.kind === "waiting" || this.#phase.kind === "blocked") {
      nextMs = this.#phase.retryAtMs;
    } else if (this.#phase.kind === "connecting" || this.#phase.kind === "draining") {
      nextMs = this.#phase.deadlineMs;
    } else {
      for (const lane of this.#lanes) {
        nextMs = Math.min(nextMs, this.#laneDueMs(lane) ?? nextMs);
        if (lane.throttledUntilMs > nowMs) nextMs = Math.min(nextMs, lane.throttledUntilMs);
      }
    }
    if (!this.#isStoreBroken) {
      for (const writer of this.#writers)
        nextMs = Math.min(nextMs, writer.dueAtMs(nowMs) ?? nextMs);
    }
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (nextMs === Number.POSITIVE_INFINITY) return;
    this.#cancelTimer = this.#timer.schedule(Math.max(1, nextMs - nowMs), () => this.#turn());
  }

  #enter(phase: Phase): void {
    const before = this.#phase.kind;
    this.#phase = phase;
    if (before === phase.kind) return;
    this.#phaseSinceMs = this.#timer.nowMs();
  }

  #state(): UplinkState {
    if (this.#phase.kind !== "linked") return this.#phase.kind;
    const kinds = this.#lanes.map((lane) => lane.phase.kind);
    if (kinds.includes("streaming")) return "streaming";
    if (kinds.length > 0 && kinds.every((kind) => kind === "blocked")) return "blocked";
    return "reconciling";
  }

  #reason(): string | undefined {
    const phase = this.#phase;
    if (phase.kind === "waiting" || phase.kind === "blocked") {
      return `${phase.failure.class}: ${phase.failure.reason}`;
    }
    const stalled = this.#lanes.find(({ phase: { kind } }) => kind === "blocked");
    if (stalled?.phase.kind !== "blocked") return undefined;
    return `lane ${stalled.settings.stream}: ${stalled.phase.failure.reason}`;
  }

  #log(level: "info" | "warn" | "error", event: string, fields: Record<string, unknown>): void {
    this.#options.log(level, event, { uplink: this.#options.name, ...fields });
  }
}
