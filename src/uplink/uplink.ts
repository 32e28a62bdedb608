/**
 * The store-and-forward uplink: a cursor over logs that ends in somebody else's cluster.
 *
 *     paused       not started, stopped, or by an operator     -> connecting (start, resume)
 *     waiting      backoff after trouble                       -> connecting (time is up)
 *     connecting   the driver dials                            -> linked, waiting, blocked
 *     linked       shown as reconciling until a lane streams   -> waiting, blocked (link gone), draining (stop, pause)
 *     draining     nothing new is sent, what is in flight may settle -> paused
 *     blocked      auth, config, fenced: slow retry            -> connecting (time is up, credentials changed)
 *
 * Events of the driver and of the store change state and ask for a turn; `#turn` does everything that follows
 * from state and time. Lanes have states of their own, see lane.ts; so has the search for a record that makes the
 * remote hang up, see probe.ts. The file is long because a state machine is read in one piece.
 */
import type { LogId, Sequence } from "../broker/store.ts";
import { Announcer } from "./announcer.ts";
import { Backoff } from "./backoff.ts";
import { CredentialsError } from "./credentials.ts";
import type { DeadLetters } from "./dead-letters.ts";
import { HangUpSearch } from "./hang-up-search.ts";
import type { Lane } from "./lane.ts";
import { Lanes } from "./lanes.ts";
import { type LinkHost, linkEvents } from "./link-events.ts";
import type { LossRecord } from "./loss-ledger.ts";
import { isPauseKept, keepPause } from "./pause.ts";
import type { RetryResult } from "./quarantine.ts";
import type { Failure, Link, LinkCapabilities, LinkEvents } from "./remote.ts";
import { Sender } from "./sender.ts";
import { systemTimer, type Timer } from "./timer.ts";
import { UPLINK_LIMITS, type UplinkLimits, type UplinkOptions } from "./uplink-options.ts";
import { isBlocking, type Phase, phaseEndMs, reasonOf, stateOf } from "./uplink-phase.ts";
import { laneStatus, type UplinkStatus, weakestGuarantee } from "./uplink-status.ts";

/** Most that a stop spends on the last progress and on closing, beyond its own time. */
const CLOSE_MS_MIN = 250;
/** How long a pause lets what is in flight settle. */
const PAUSE_MS = 1_000;

export class Uplink {
  readonly #options: UplinkOptions;
  readonly #limits: UplinkLimits;
  readonly #timer: Timer;
  readonly #lanes: Lanes;
  readonly #backoff: Backoff;
  readonly #sender: Sender;
  readonly #search: HangUpSearch;
  readonly #announcer = new Announcer();
  /** By an operator, kept over restarts. */
  #isPaused: boolean;
  #credentialsMark: string | undefined;
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
    this.#search = new HangUpSearch(this.#lanes);
    this.#isPaused = isPauseKept(options.store, options.name);
  }

  get name(): string {
    return this.#options.name;
  }

  /** Whether streams are kept for it until it has delivered them. */
  get isPinned(): boolean {
    return this.#options.pin ?? true;
  }

  /** Records that the remote never takes. To be read only. */
  get letters(): DeadLetters {
    return this.#lanes.letters;
  }

  /** Connects, unless an operator paused it. */
  start(): void {
    if (this.#phase.kind !== "paused" || this.#stopped !== undefined) return;
    if (!this.#isPaused) this.#connect();
    else if (this.#announcer.isNews("pause", "paused")) this.#log("info", "uplink-paused", {});
  }

  /** Lets what is in flight settle for a moment, and disconnects until `resume`; also over restarts. Throws what the store throws. */
  pause(): void {
    if (this.#isPaused || this.#stopped !== undefined) return;
    keepPause(this.#options.store, this.name, true);
    this.#isPaused = true;
    this.#announcer.isNews("pause", "paused");
    this.#log("info", "uplink-paused", {});
    if (this.#phase.kind !== "linked") {
      this.#finishPause();
      return;
    }
    this.#enter({ kind: "draining", deadlineMs: this.#timer.nowMs() + PAUSE_MS });
    this.#onDrained = () => this.#finishPause();
    this.#wake();
  }

  /** Ends a pause. Throws what the store throws. */
  resume(): void {
    if (!this.#isPaused || this.#stopped !== undefined) return;
    keepPause(this.#options.store, this.name, false);
    this.#isPaused = false;
    this.#announcer.forget("pause");
    this.#log("info", "uplink-resumed", {});
    if (this.#phase.kind === "draining") this.#finishPause();
    this.start();
  }

  /** Lets dead letters with these numbers be sent once more; each is removed when the remote acknowledged it. */
  retryLetters(from: number, to: number = from): RetryResult {
    const result = this.#lanes.retryLetters(from, to);
    this.#wake();
    return result;
  }

  /** Removes dead letters for good; returns how many. Throws what the store throws. */
  removeLetters(from: number, to: number = from): number {
    return this.#lanes.removeLetters(from, to);
  }

  /** What was never delivered, from a number of the ledger on. */
  losses(from: number, limit: number): LossRecord[] {
    return this.#lanes.ledger.read(from, limit);
  }

  /** True when one of its lanes forwards this log. */
  reads(log: LogId): boolean {
    return this.#lanes.all.some(({ settings }) => settings.log === log);
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
   * that was blocked because the remote was purged, restored or recreated goes on with its next record. Returns false
   * when there is no such lane.
   */
  forgetRemote(laneName: string): boolean {
    const lane = this.#lanes.all.find(({ name }) => name === laneName);
    if (lane === undefined) return false;
    lane.progress.reconciled(undefined);
    if (lane.phase.kind === "blocked") this.#reconcile(lane);
    this.#wake();
    return true;
  }

  status(): UplinkStatus {
    const nowMs = this.#timer.nowMs();
    const { store, clock, name, driver } = this.#options;
    return {
      name,
      driver: driver.name,
      state: stateOf(this.#phase, this.#lanes.all),
      blockedReason: reasonOf(this.#phase, this.#lanes.all, this.#isPaused),
      sinceMs: nowMs - this.#phaseSinceMs,
      isProbing: this.#search.isProbing,
      pin: this.isPinned,
      deadLetters: { count: this.letters.count, bytes: this.letters.bytes },
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

  #finishPause(): void {
    this.#onDrained = undefined;
    const link = this.#link;
    this.#dropLink();
    link?.close(CLOSE_MS_MIN).catch(() => undefined);
    this.#enter({ kind: "paused" });
    this.#wake();
  }

  // -- the link ------------------------------------------------------------------------------------------

  #connect(): void {
    const { driver, edgeId, name, clock } = this.#options;
    const nowMs = this.#timer.nowMs();
    this.#enter({ kind: "connecting", deadlineMs: nowMs + this.#limits.connectTimeoutMs });
    const lanes = this.#lanes.all.map(({ name: laneName, settings }) => {
      const { stream, topic, maxQos } = settings;
      return { name: laneName, stream, topic, maxQos: maxQos ?? 1 };
    });
    this.#linkNumber++;
    this.#credentialsMark = driver.credentialsMark?.();
    try {
      const target = { edgeId, uplink: name, lanes, clock };
      this.#link = driver.open(target, this.#eventsOf(this.#linkNumber));
    } catch (error) {
      const isAuth = error instanceof CredentialsError;
      const failure: Failure = isAuth
        ? { class: "auth", reason: error.message }
        : { class: "config", reason: `cannot dial: ${error}` };
      this.#linkFailed(failure, false);
    }
    this.#wake();
  }

  #eventsOf(linkNumber: number): LinkEvents {
    const host: LinkHost = {
      isCurrent: () => linkNumber === this.#linkNumber,
      nowMs: () => this.#timer.nowMs(),
      wake: () => this.#wake(),
      onConnected: (capabilities) => this.#connected(capabilities),
      onStreaming: () => {
        this.#streamingSinceMs ??= this.#timer.nowMs();
      },
      onAcknowledged: (lane, sequence) => {
        this.#search.onAcknowledged(lane.index, sequence);
      },
      onClosed: (failure) => this.#linkFailed(failure, true),
    };
    return linkEvents(host, this.#lanes);
  }

  #connected(capabilities: LinkCapabilities): void {
    if (this.#phase.kind !== "connecting") return;
    const { address } = capabilities;
    if (this.#announcer.isNews("link", "connected")) {
      this.#log("info", "uplink-connected", { address });
    }
    this.#enter({ kind: "linked", capabilities });
    for (const lane of this.#lanes.all) this.#reconcile(lane);
    this.#wake();
  }

  #reconcile(lane: Lane): void {
    if (this.#link === undefined || this.#phase.kind !== "linked") return;
    this.#lanes.reconcile(lane, this.#link, this.#timer.nowMs());
  }

  /** @param isRemote the remote or the network ended it, not we */
  #linkFailed(failure: Failure, isRemote: boolean): void {
    const nowMs = this.#timer.nowMs();
    const since = this.#streamingSinceMs;
    if (since !== undefined && nowMs - since >= this.#limits.stableMs) this.#backoff.reset();
    const wasDraining = this.#phase.kind === "draining";
    const isSearched = this.#phase.kind === "linked" && isRemote;
    const convict = isSearched ? this.#search.onEnded(failure, nowMs) : undefined;
    this.#link?.destroy();
    this.#dropLink();
    convict?.();
    if (wasDraining) {
      this.#onDrained?.();
      return;
    }
    const { class: failureClass, reason } = failure;
    const isBlocked = isBlocking(failure);
    const delayMs = isBlocked ? this.#limits.slowRetryMs : this.#retryMs(failure);
    this.#enter({ kind: isBlocked ? "blocked" : "waiting", retryAtMs: nowMs + delayMs, failure });
    if (this.#announcer.isNews("link", `${failureClass}: ${reason}`)) {
      const level = isBlocked ? "warn" : "info";
      this.#log(level, "uplink-disconnected", { class: failureClass, reason, delayMs });
    }
    this.#wake();
  }

  #retryMs(failure: Failure): number {
    const delayMs = this.#backoff.nextMs();
    const asked = failure.retryAfterMs ?? 0;
    const { probeRetryMs } = this.#limits;
    return Math.max(asked, this.#search.isProbing ? Math.min(delayMs, probeRetryMs) : delayMs);
  }

  #dropLink(): void {
    this.#link = undefined;
    this.#linkNumber++;
    this.#streamingSinceMs = undefined;
    for (const lane of this.#lanes.all) lane.detach();
    this.#search.onLinkGone();
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
        if (nowMs >= this.#phase.retryAtMs || this.#haveCredentialsChanged()) this.#connect();
        break;
      case "connecting":
        if (nowMs >= this.#phase.deadlineMs) {
          const reason = `no connection within ${this.#limits.connectTimeoutMs} ms`;
          this.#linkFailed({ class: "transport", reason }, false);
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
        if (this.#stopped !== undefined) return;
        break;
    }
    this.#lanes.persist(nowMs, false);
    this.#arm(nowMs);
  }

  #haveCredentialsChanged(): boolean {
    return this.#options.driver.credentialsMark?.() !== this.#credentialsMark;
  }

  #checkLanes(nowMs: number): void {
    this.#search.settle();
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
    this.#linkFailed(failure, false);
  }

  #send(nowMs: number): void {
    if (this.#phase.kind !== "linked" || this.#link === undefined) return;
    const windowMax = this.#search.isProbing ? 1 : this.#phase.capabilities.windowMax;
    const stuck = this.#sender.send(this.#link, windowMax, nowMs);
    if (stuck !== undefined) {
      const { lane, sequence, failure } = stuck;
      if (failure.class === "poison") this.#lanes.putAside(lane, sequence, failure, nowMs);
      else this.#lanes.fail(lane, failure, nowMs);
    }
    if (this.#sender.isCutShort || stuck !== undefined) this.#wake();
    else if (this.#search.onNothingToSend()) this.#wake();
  }

  /** Sets the one timer to the next time at which something is to be done. */
  #arm(nowMs: number): void {
    let nextMs = this.#lanes.nextDueMs(nowMs, this.#phase.kind === "linked");
    nextMs = Math.min(nextMs, phaseEndMs(this.#phase));
    const { kind } = this.#phase;
    if ((kind === "waiting" || kind === "blocked") && this.#credentialsMark !== undefined) {
      nextMs = Math.min(nextMs, nowMs + this.#limits.credentialsCheckMs);
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

  #log(level: "info" | "warn" | "error", event: string, fields: Record<string, unknown>): void {
    this.#options.log(level, event, { uplink: this.#options.name, ...fields });
  }
}
