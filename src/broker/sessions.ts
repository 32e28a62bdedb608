/** All sessions: who owns a client identifier, what happens when a connection comes or goes, and how long what stays. */
import { after, type Clock, type Instant } from "../lib/clock.ts";
import type { DeadlineHeap } from "../lib/deadline-heap.ts";
import { ANONYMOUS, type Principal } from "./authenticator.ts";
import type { Counters } from "./counters.ts";
import type { Due } from "./due.ts";
import type { BrokerLimits } from "./limits.ts";
import type { NumberedRecords } from "./numbered-records.ts";
import type { OutboundEvents } from "./outbound-events.ts";
import { NEVER_MS, Session, type SessionRecord, type SessionSubscription } from "./session.ts";
import { clientIdOf, isSubscriptionId, SESSION_PREFIX, sessionKey } from "./session-records.ts";
import { planSpill, type SessionPin } from "./spill-plan.ts";
import { type CommitNumber, NO_COMMIT, type Ordinal, type Store } from "./store.ts";
import type { Subscriber } from "./subscriber.ts";
import type { SubscriptionIndex } from "./subscription-index.ts";
import type { Will, Wills } from "./wills.ts";

/** Largest number of a session: it has four bytes in keys. */
const NUMBER_MAX = 0xffff_ffff;
/** What one step of copying into spills may cost, in bytes (see `LogBacklog.spill`). */
const SPILL_STEP_COST = 1_048_576;

export interface ConnectRequest {
  readonly clientId: string;
  /** Who connects. */
  readonly principal: Principal;
  readonly cleanStart: boolean;
  /** Session expiry interval in milliseconds; 0: ends with the connection; Infinity: never. */
  readonly expiryMs: number;
  readonly will: Will | undefined;
  readonly subscriber: Subscriber;
}

export interface ConnectResult {
  readonly session: Session;
  readonly isPresent: boolean;
  /** CONNACK waits for it. */
  readonly commit: CommitNumber;
}

/** Why a session is not given: there are too many, or it belongs to somebody else. */
export type ConnectRefusal = "too-many-sessions" | "not-owner";

export interface SessionsContext {
  readonly store: Store;
  readonly clock: Clock;
  readonly deadlines: DeadlineHeap<Due>;
  readonly limits: BrokerLimits;
  readonly index: SubscriptionIndex;
  readonly numbers: NumberedRecords;
  readonly wills: Wills;
  readonly outboundEvents: OutboundEvents;
  readonly counters: Counters;
}

/** What waits on disk for a session or a shared subscription, as far as logs are kept for it. */
interface DurableBacklog {
  readonly oldestOrdinal: Ordinal | undefined;
  readonly pinnedBytes: number;
  spill(before: Ordinal, costMax: number): number;
  keepWithinLimits(): void;
}

export class Sessions {
  readonly #context: SessionsContext;
  readonly #sessions = new Map<string, Session>();
  #online = 0;
  #onlineMax = 0;

  constructor(context: SessionsContext) {
    this.#context = context;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** Sessions with a connection. */
  get online(): number {
    return this.#online;
  }

  /** The most there ever were. */
  get onlineMax(): number {
    return this.#onlineMax;
  }

  all(): IterableIterator<Session> {
    return this.#sessions.values();
  }

  get(clientId: string): Session | undefined {
    return this.#sessions.get(clientId);
  }

  /** The lowest ordinal that a session or a shared subscription needs its logs for; above all when none does. */
  oldestOwed(): Ordinal {
    let oldest = Number.MAX_SAFE_INTEGER;
    for (const { oldestOrdinal } of this.#backlogs()) {
      if (oldestOrdinal !== undefined && oldestOrdinal < oldest) oldest = oldestOrdinal;
    }
    return oldest as Ordinal;
  }

  /**
   * Copies what is owed so that logs can let go of what only few need, when that is too much and pays (see
   * `planSpill`). To be trimmed before the open group is sealed. One step; true: there is more to do.
   */
  spill(pinnedBytes: number): boolean {
    const { store, limits } = this.#context;
    if (pinnedBytes <= limits.pinBytesMax) return false;
    const pins: (SessionPin & { readonly backlog: DurableBacklog })[] = [];
    for (const backlog of this.#backlogs()) {
      const oldest = backlog.oldestOrdinal;
      if (oldest !== undefined) pins.push({ oldest, bytes: backlog.pinnedBytes, backlog });
    }
    pins.sort((a, b) => a.oldest - b.oldest);
    const before = planSpill(pins, pinnedBytes, store.nextOrdinal, limits.pinBytesMax);
    if (before === undefined) return false;
    let cost = 0;
    for (const { oldest, backlog } of pins) {
      if (oldest >= before) return false;
      cost += backlog.spill(before, SPILL_STEP_COST - cost);
      if (cost >= SPILL_STEP_COST) return true;
    }
    return false;
  }

  /** Copies what is owed below an ordinal, whether that pays or not, a step of it. True: logs are not needed below any more. */
  spillBelow(before: Ordinal): boolean {
    let cost = 0;
    for (const backlog of this.#backlogs()) {
      const oldest = backlog.oldestOrdinal;
      if (oldest === undefined || oldest >= before) continue;
      cost += backlog.spill(before, SPILL_STEP_COST - cost);
      if (cost >= SPILL_STEP_COST) return false;
    }
    return true;
  }

  /** Drops what exceeds the limits of backlogs, and stages how far retained messages were sent. */
  doChores(): void {
    for (const backlog of this.#backlogs()) backlog.keepWithinLimits();
    for (const { outbound } of this.#sessions.values()) {
      if (outbound.isReplaying) outbound.stagePositions();
    }
  }

  /** All backlogs of sessions and shared subscriptions. */
  *#backlogs(): IterableIterator<DurableBacklog> {
    for (const { outbound } of this.#sessions.values()) yield outbound;
    yield* this.#context.index.shared.durable();
  }

  /**
   * A client connects: an older connection of the same client identifier is ended [MQTT-3.1.4-3], its session resumed or
   * ended [MQTT-3.1.2-4, 3.1.2-5]. All that is only for whom the session belongs to.
   */
  connect(request: ConnectRequest): ConnectResult | ConnectRefusal {
    const { store, wills } = this.#context;
    const { clientId, principal, subscriber } = request;
    let session = this.#sessions.get(clientId);
    if (session !== undefined && session.principal !== principal) return "not-owner";
    let isStaged = request.will !== undefined || wills.has(clientId);
    if (session?.owner !== undefined) {
      const { owner } = session;
      this.disconnect(session, owner, { sendWill: true });
      owner.end("session-taken-over");
      session = this.#sessions.get(clientId);
    }
    if (session !== undefined && request.cleanStart) {
      isStaged ||= session.isDurable;
      this.end(session);
      session = undefined;
    }
    const isPresent = session !== undefined;
    if (session === undefined) {
      if (this.#sessions.size >= this.#context.limits.sessionsMax) return "too-many-sessions";
      session = this.#create(clientId, principal, request.expiryMs);
    }
    this.#settleWill(clientId, principal);
    this.#context.deadlines.cancel(session.expiryDeadline);
    session.expiryMs = request.expiryMs;
    session.owner = subscriber;
    this.#online++;
    this.#onlineMax = Math.max(this.#onlineMax, this.#online);
    session.detachedAt = undefined;
    if (request.will !== undefined) wills.set(clientId, request.will);
    session.persist();
    isStaged ||= session.isDurable;
    return { session, isPresent, commit: isStaged ? store.openCommit : NO_COMMIT };
  }

  /** What is left of an older will: its owner is back and does not want it any more; somebody else cannot cancel it. */
  #settleWill(clientId: string, principal: Principal): void {
    const { wills, clock } = this.#context;
    if (wills.principalOf(clientId) === principal) wills.cancel(clientId);
    else wills.publishNow(clientId, clock.now());
  }

  /** The connection that owns the session is gone. Nothing happens when another one owns it by now. */
  disconnect(
    session: Session,
    subscriber: Subscriber,
    options: { sendWill: boolean; expiryMs?: number | undefined },
  ): void {
    if (session.owner !== subscriber) return;
    const { clock, wills } = this.#context;
    const now = clock.now();
    session.detach();
    this.#online--;
    session.detachedAt = now;
    if (options.expiryMs !== undefined) session.expiryMs = options.expiryMs;
    if (options.sendWill) wills.arm(session.clientId, now, session.expiryMs);
    else wills.cancel(session.clientId);
    if (session.expiryMs === 0) {
      this.end(session);
      return;
    }
    session.persist();
    this.#scheduleExpiry(session);
  }

  /** Ends a session: what is on disk of it goes, at leisure when it is much; its will is due [MQTT-3.1.3-9]. */
  end(session: Session): void {
    const { store, index, numbers, wills, clock, deadlines } = this.#context;
    wills.publishNow(session.clientId, clock.now());
    for (const topicFilter of session.subscriptions.keys()) index.remove(session, topicFilter);
    deadlines.cancel(session.expiryDeadline);
    session.hasEnded = true;
    if (session.owner !== undefined) this.#online--;
    session.detach();
    this.#sessions.delete(session.clientId);
    if (!session.isDurable) return;
    store.remove("meta", sessionKey(session.clientId));
    numbers.release(session.number);
  }

  /** Reads what is on disk. Returns how many records were damaged and left out. */
  recover(replay: (session: Session, subscription: SessionSubscription) => void): number {
    const { store, clock, index, numbers } = this.#context;
    let damaged = index.shared.beginRecovery();
    for (const [key, value] of store.scan("meta", SESSION_PREFIX)) {
      const record = decodeSession(value);
      if (record === undefined) {
        damaged++;
        continue;
      }
      this.#recoverSession(clientIdOf(key), record, clock.now());
    }
    damaged += this.#recoverSubscriptions();
    numbers.recover([...this.#sessions.values(), ...index.shared.durable()]);
    index.shared.endRecovery();
    for (const session of this.#sessions.values()) {
      for (const subscription of session.subscriptions.values()) {
        if (subscription.isReplaying) replay(session, subscription);
      }
    }
    return damaged;
  }

  #create(clientId: string, principal: Principal, expiryMs: number): Session {
    const number = expiryMs > 0 ? this.#context.numbers.next() : 0;
    return this.#enter(clientId, principal, number, expiryMs);
  }

  #enter(clientId: string, principal: Principal, number: number, expiryMs: number): Session {
    const { store, limits, outboundEvents } = this.#context;
    const session = new Session(
      store,
      clientId,
      principal,
      number,
      expiryMs,
      limits.outbound,
      outboundEvents,
    );
    this.#sessions.set(clientId, session);
    return session;
  }

  /** Detached sessions are older than they were. */
  scheduleExpiries(): void {
    for (const session of this.#sessions.values()) {
      this.#context.deadlines.cancel(session.expiryDeadline);
      this.#scheduleExpiry(session);
    }
  }

  #scheduleExpiry(session: Session): void {
    if (session.expiryMs === NEVER_MS || session.detachedAt === undefined) return;
    const onDue = (): void => {
      this.#context.counters.sessionsExpired++;
      this.end(session);
    };
    const { clock } = this.#context;
    const at = after(clock.now(), session.expiryMs - clock.since(session.detachedAt));
    session.expiryDeadline = this.#context.deadlines.add(at, { onDue });
  }

  /** Returns how many were damaged and left out. */
  #recoverSubscriptions(): number {
    const { index, numbers } = this.#context;
    const byNumber = new Map<number, Session>();
    for (const session of this.#sessions.values()) byNumber.set(session.number, session);
    let damaged = 0;
    numbers.recoverSubscriptions((number, topicFilter, value) => {
      const session = byNumber.get(number);
      if (session === undefined) return false;
      const subscription = decodeSubscription(topicFilter, value);
      if (subscription === undefined) {
        damaged++;
      } else {
        session.subscriptions.set(topicFilter, subscription);
        index.add(session, topicFilter, subscription);
      }
      return true;
    });
    return damaged;
  }

  #recoverSession(clientId: string, record: SessionRecord, now: Instant): void {
    this.#context.numbers.noteUsed(record.number);
    const principal = record.user ?? ANONYMOUS;
    const session = this.#enter(clientId, principal, record.number, record.expiryMs ?? NEVER_MS);
    session.detachedAt = (record.detachedAt ?? now) as Instant;
    this.#scheduleExpiry(session);
  }
}

function decodeSession(value: Uint8Array): SessionRecord | undefined {
  try {
    const record: unknown = JSON.parse(new TextDecoder().decode(value));
    return isSessionRecord(record) ? record : undefined;
  } catch {
    return undefined;
  }
}

function isSessionRecord(value: unknown): value is SessionRecord {
  if (typeof value !== "object" || value === null) return false;
  const record = value as Partial<SessionRecord>;
  return (
    record.version === 2 &&
    typeof record.number === "number" &&
    record.number > 0 &&
    record.number <= NUMBER_MAX &&
    Number.isInteger(record.number) &&
    (record.user === undefined || typeof record.user === "string") &&
    isTime(record.expiryMs) &&
    isTime(record.detachedAt)
  );
}

const isTime = (value: unknown): boolean => value === null || typeof value === "number";

function decodeSubscription(
  topicFilter: string,
  value: Uint8Array,
): SessionSubscription | undefined {
  try {
    const record: unknown = JSON.parse(new TextDecoder().decode(value));
    return isSubscription(record) ? { ...record, topicFilter } : undefined;
  } catch {
    return undefined;
  }
}

function isSubscription(value: unknown): value is SessionSubscription {
  if (typeof value !== "object" || value === null) return false;
  const { qos, subscriptionId, replayAfter, streamPosition } =
    value as Partial<SessionSubscription>;
  return (
    (qos === 0 || qos === 1 || qos === 2) &&
    (subscriptionId === undefined || isSubscriptionId(subscriptionId)) &&
    (replayAfter === undefined || typeof replayAfter === "string") &&
    (streamPosition === undefined || Number.isSafeInteger(streamPosition))
  );
}
