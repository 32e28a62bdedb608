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
import type { Lane } from "./lane.ts";
import { Lanes } from "./lanes.ts";
import type { Failure, Link, LinkCapabilities, LinkEvents } from "./remote.ts";
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
  readonly #lanes: Lanes;
  readonly #backoff: Backoff;
  readonly #sender: Sender;
  #phase: Phase = { kind: "paused" };
  #phaseSinceMs: number;
  #link: Link | undefined;
  /** Events of an older link are not ours any more. */
  #linkNumber = 0;
  #streamingSinceMs: number | undefined;
  #isTurnWanted = false;
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
    this.#lanes = new Lanes(options, this.#limits);
    this.#sender = new Sender(this.#lanes.all, this.#limits);
  }

  start(): void {
    if (this.#phase.kind === "paused" && this.#stopped === undefined) this.#connect();
  }

  /** A commit of the store was flushed: there may be records to send, or progress is on disk. */
  onFlushed(): void {
    this.#lanes.onFlushed();
    if (this.#onClean !== undefined) this.#checkClean();
    if (this.#phase.kind === "linked") this.#wake();
  }

  /** Every record of the log below this is done, and that is on disk: it may be trimmed as far as this uplink is concerned. */
  doneBefore(log: LogId): Sequence {
    const mark = this.#lanes.persistedMark(log);
    // A log that is none of our lanes does not wait for us.
    return (mark === undefined ? Number.MAX_SAFE_INTEGER : mark + 1) as Sequence;
  }

  /**
   * The operator's word that the remote is right as it is: what is kept about its numbers is forgotten, and a lane
   * that was blocked because the remote was purged, restored or recreated goes on with its next record.
   */
  forgetRemote(stream: string): void {
    for (const lane of this.#lanes.all) {
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
      lanes: this.#lanes.all.map((lane) => laneStatus(lane, store, clock, nowMs)),
      guarantee: weakestGuarantee(this.#lanes.all),
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
    this.#lanes.persist(this.#timer.nowMs(), true);
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
    this.#lanes.persist(this.#timer.nowMs(), true);
    if (this.#lanes.isClean) this.#onClean?.();
  }

  // -- the link ------------------------------------------------------------------------------------------

  #connect(): void {
    const { driver, edgeId, name, clock } = this.#options;
    const nowMs = this.#timer.nowMs();
    this.#enter({ kind: "connecting", deadlineMs: nowMs + this.#limits.connectTimeoutMs });
    const lanes = this.#lanes.all.map((lane) => lane.settings.stream);
    this.#linkNumber++;
    try {
      const target = { edgeId, uplink: name, lanes, clock };
      this.#link = driver.open(target, this.#eventsOf(this.#linkNumber));
    } catch (error) {
      this.#linkFailed({ class: "config", reason: `cannot dial: ${error}` });
    }
    this.#wake();
  }

  /** What the link with this number may tell us, as long as it is the current one. */
  #eventsOf(linkNumber: number): LinkEvents {
    const withLane = (index: number, act: (lane: Lane) => void): void => {
      const lane = this.#lanes.all[index];
      if (linkNumber !== this.#linkNumber || lane === undefined) return;
      act(lane);
      this.#wake();
    };
    return {
      onConnected: (capabilities) => {
        if (linkNumber !== this.#linkNumber || this.#phase.kind !== "connecting") return;
        this.#log("info", "uplink-connected", { address: capabilities.address });
        this.#enter({ kind: "linked", capabilities });
        for (const lane of this.#lanes.all) this.#reconcile(lane);
        this.#wake();
      },
      onReconciled: (index, result) =>
        withLane(index, (lane) => {
          if (lane.phase.kind !== "reconciling") return;
          const nowMs = this.#timer.nowMs();
          this.#streamingSinceMs ??= nowMs;
          this.#lanes.onReconciled(lane, result, nowMs);
        }),
      onReconcileFailed: (index, failure) =>
        withLane(index, (lane) => {
          if (lane.phase.kind === "reconciling")
            this.#lanes.fail(lane, failure, this.#timer.nowMs());
        }),
      onReconcileProgress: (index) =>
        withLane(index, (lane) => {
          if (lane.phase.kind === "reconciling") {
            lane.phase = { kind: "reconciling", progressAtMs: this.#timer.nowMs() };
          }
        }),
      onAcknowledged: (index, sequence, position) =>
        withLane(index, (lane) =>
          this.#lanes.onAcknowledged(lane, sequence, position, this.#timer.nowMs()),
        ),
      onRefused: (index, sequence, failure) =>
        withLane(index, (lane) =>
          this.#lanes.onRefused(lane, sequence, failure, this.#timer.nowMs()),
        ),
      onLaneFailed: (index, failure) =>
        withLane(index, (lane) => {
          const { kind } = lane.phase;
          if (kind === "streaming" || kind === "reconciling")
            this.#lanes.fail(lane, failure, this.#timer.nowMs());
        }),
      onClosed: (failure) => {
        if (linkNumber === this.#linkNumber) this.#linkFailed(failure);
      },
    };
  }

  #reconcile(lane: Lane): void {
    if (this.#link === undefined || this.#phase.kind !== "linked") return;
    this.#lanes.reconcile(lane, this.#link, this.#timer.nowMs());
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
    for (const lane of this.#lanes.all) lane.detach();
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
    this.#lanes.persist(nowMs, false);
    this.#arm(nowMs);
  }

  #checkLanes(nowMs: number): void {
    for (const lane of this.#lanes.all) {
      // One stuck lane may have taken the link down.
      if (this.#phase.kind !== "linked") return;
      const dueMs = this.#lanes.dueMs(lane);
      if (dueMs === undefined || nowMs < dueMs) continue;
      const { kind } = lane.phase;
      if (kind === "waiting" || kind === "blocked") this.#reconcile(lane);
      else if (kind === "streaming" || kind === "reconciling") this.#laneStuck(lane);
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
    const othersGoOn = this.#lanes.all.some((other) => other !== lane && other.lastAckMs > sinceMs);
    const isOnePossible =
      this.#phase.kind === "linked" && this.#phase.capabilities.reconcilesLanesAlone;
    if (isOnePossible && othersGoOn) {
      if (isReconciling) this.#lanes.fail(lane, failure, this.#timer.nowMs());
      else this.#reconcile(lane);
      return;
    }
    this.#linkFailed(failure);
  }

  #send(nowMs: number): void {
    if (this.#phase.kind !== "linked" || this.#link === undefined) return;
    const { windowMax } = this.#phase.capabilities;
    const stuck = this.#sender.send(this.#link, windowMax, nowMs);
    if (stuck !== undefined) this.#lanes.fail(stuck.lane, stuck.failure, nowMs);
    if (this.#sender.isCutShort || stuck !== undefined) this.#wake();
  }

  /** Sets the one timer to the next time at which something is to be done. */
  #arm(nowMs: number): void {
    let nextMs = this.#lanes.nextDueMs(nowMs, this.#phase.kind === "linked");
    if (this.#phase.kind === "waiting" || this.#phase.kind === "blocked") {
      nextMs = Math.min(nextMs, this.#phase.retryAtMs);
    } else if (this.#phase.kind === "connecting" || this.#phase.kind === "draining") {
      nextMs = Math.min(nextMs, this.#phase.deadlineMs);
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
    const kinds = this.#lanes.all.map((lane) => lane.phase.kind);
    if (kinds.includes("streaming")) return "streaming";
    if (kinds.length > 0 && kinds.every((kind) => kind === "blocked")) return "blocked";
    return "reconciling";
  }

  #reason(): string | undefined {
    const phase = this.#phase;
    if (phase.kind === "waiting" || phase.kind === "blocked") {
      return `${phase.failure.class}: ${phase.failure.reason}`;
    }
    const stalled = this.#lanes.all.find(({ phase: { kind } }) => kind === "blocked");
    if (stalled?.phase.kind !== "blocked") return undefined;
    return `lane ${stalled.settings.stream}: ${stalled.phase.failure.reason}`;
  }

  #log(level: "info" | "warn" | "error", event: string, fields: Record<string, unknown>): void {
    this.#options.log(level, event, { uplink: this.#options.name, ...fields });
  }
}
