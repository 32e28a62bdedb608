/**
 * Delivery with QoS 1 and 2 to one session: the window of what is in flight, and behind it what waits. `pump` moves
 * messages from the backlogs to the client while its Receive Maximum, our own limit and the write budget allow.
 *
 * Order: what is resent after a reconnect goes first [MQTT-4.4.0-1, 4.6.0-1], then live messages in the order in
 * which they were published, retained messages in between as there is room.
 *
 * The file is long because every pump and every acknowledgement works on the same window, one call deep.
 */
import { LazyMap } from "../lib/lazy-map.ts";
import { RingBuffer } from "../lib/ring-buffer.ts";
import type { Congested } from "./congestion.ts";
import { Inflight, type InflightEntry } from "./inflight.ts";
import { type KeptLeaseRecord, KeptLeases } from "./kept-leases.ts";
import type { Lease } from "./lease.ts";
import type { OutboundLimits } from "./limits.ts";
import { LogBacklog } from "./log-backlog.ts";
import { MemoryBacklog } from "./memory-backlog.ts";
import { isExpired, type Message, type QoS } from "./message.ts";
import type { DropReason, OutboundEvents } from "./outbound-events.ts";
import { type Owed, owedOf } from "./owed.ts";
import { Recheck } from "./recheck.ts";
import type { ReplayStep, RetainedReplay } from "./retained-replay.ts";
import {
  decodeOrigin,
  encodeOrigin,
  REPLAY_ORDINALS,
  type ReplayOrigin,
  SENT,
  type SentRecord,
  SentRecords,
} from "./sent-records.ts";
import type { Reference, ReferencesHead } from "./session-records.ts";
import { type CommitNumber, type LogRecord, NO_COMMIT, type Ordinal, type Store } from "./store.ts";
import type { Subscriber } from "./subscriber.ts";
import { Topic } from "./topic.ts";

/** From how full a backlog on publishers wait for the client, and below which they need not any more. */
const CONGESTED_FILL = 0.5;
const RELIEVED_FILL = 0.25;

/** A QoS 2 delivery of a retained message as the last run left it. */
interface RecoveredReplay {
  readonly ordinal: Ordinal;
  readonly packetId: number;
  readonly state: number;
  /** Undefined: damaged. */
  readonly origin: ReplayOrigin | undefined;
  readonly bytes: Uint8Array;
}

/** What all sessions share that have none; never written to. */
const NO_REPLAYS: RecoveredReplay[] = [];

/** Deliveries of one session, for as long as the session lives. */
export class Outbound implements Congested {
  readonly #store: Store;
  readonly #clientId: string;
  readonly #limits: OutboundLimits;
  readonly #events: OutboundEvents;
  readonly #inflight = new Inflight();
  readonly #memory: MemoryBacklog;
  /** Undefined for sessions that end with their connection. */
  readonly #log: LogBacklog | undefined;
  /** By topic filter, in the order in which they began. */
  readonly #replays = new LazyMap<string, RetainedReplay>();
  /** QoS 2 deliveries of retained messages that the last run left, until their replay takes them. */
  #replayed: RecoveredReplay[] = NO_REPLAYS;
  #replayNumber = 0;
  /** In flight before this connection and to be sent again, in order. */
  readonly #resend = new RingBuffer<InflightEntry>();
  /** Staged and not sent, because their records are not flushed yet, in order of commits. */
  readonly #staged = new RingBuffer<InflightEntry>();
  readonly #sent: SentRecords;
  readonly #kept: KeptLeases;
  readonly #recheck = new Recheck();
  /** The broker knows that something is marked (see `sealMarked`). */
  #isMarked = false;
  #subscriber: Subscriber | undefined;
  /** Whether publishers wait until it has caught up, or did for long enough. */
  #pressure: "none" | "waited-for" | "given-up" = "none";

  constructor(
    store: Store,
    clientId: string,
    sessionNumber: number,
    isDurable: boolean,
    limits: OutboundLimits,
    events: OutboundEvents,
  ) {
    this.#store = store;
    this.#clientId = clientId;
    this.#sent = new SentRecords(store, sessionNumber);
    this.#kept = new KeptLeases(store, sessionNumber);
    this.#limits = limits;
    this.#events = events;
    this.#memory = new MemoryBacklog(limits.memoryBacklogBytesMax);
    this.#log = isDurable ? new LogBacklog(store, sessionNumber) : undefined;
  }

  /** Messages in flight. */
  get inflightSize(): number {
    return this.#inflight.size;
  }

  /** Messages that wait behind the window. */
  get backlogSize(): number {
    return this.#memory.size + (this.#log?.size ?? 0);
  }

  get oldestOrdinal(): Ordinal | undefined {
    return this.#log?.oldestOrdinal;
  }

  /** A message of a shared subscription could be sent, and acknowledged within the window. Hot path. */
  get canLease(): boolean {
    const subscriber = this.#subscriber;
    return (
      subscriber?.hasRoom === true &&
      this.#resend.size === 0 &&
      this.#inflight.hasFreePacketId &&
      this.#inflight.size < Math.min(subscriber.receiveMaximum, this.#limits.inflightMax)
    );
  }

  /** How many may be leased now. Hot path. */
  get leaseRoom(): number {
    if (!this.canLease) return 0;
    const receiveMaximum = this.#subscriber?.receiveMaximum ?? 0;
    return Math.min(receiveMaximum, this.#limits.inflightMax) - this.#inflight.size;
  }

  /** What logs must keep for this session, and what is copied so that they need not; about, in bytes. */
  get pinnedBytes(): number {
    return this.#log?.pinnedBytes ?? 0;
  }

  get spilledBytes(): number {
    return this.#log?.spilledBytes ?? 0;
  }

  /** True when a message for this session is to be refused. Hot path: per message and durable session that may refuse. */
  get refuses(): boolean {
    return this.#limits.backlogWhenFull === "reject" && this.#log?.isFull(this.#limits) === true;
  }

  /** Copies what is owed below `before`, so that logs need not keep it; see `LogBacklog.spill`. */
  spill(before: Ordinal, costMax: number): number {
    return this.#log?.spill(before, costMax) ?? 0;
  }

  /** Drops what exceeds the limits of the backlog. */
  keepWithinLimits(): void {
    const dropped = this.#log?.keepWithin(this.#limits, this.#events.clock) ?? 0;
    if (dropped > 0) this.#events.onBacklogDropped(this.#clientId, dropped);
  }

  /** After a restart, before `attach`: a record of references that is on disk, in order. */
  recoverReferences(ordinal: Ordinal, head: ReferencesHead): void {
    this.#log?.recover(ordinal, head);
  }

  /** After a restart, before `attach`: QoS 2 deliveries of messages in logs that were under way. */
  recoverDeliveries(references: readonly Reference[]): void {
    for (const { sent, packetId } of references) {
      if (sent !== 0 && sent !== SENT.done) this.#inflight.reserve(packetId);
    }
  }

  /** The same of a retained message. */
  recoverSent(ordinal: Ordinal, { packetId, state, origin }: SentRecord): void {
    this.#replayNumber = Math.max(this.#replayNumber, ordinal - REPLAY_ORDINALS);
    if (state !== SENT.done) this.#inflight.reserve(packetId);
    if (this.#replayed === NO_REPLAYS) this.#replayed = [];
    this.#replayed.push({ ordinal, packetId, state, bytes: origin, origin: decodeOrigin(origin) });
  }

  /** Goes on with what the last run had sent for this subscription. */
  #resumeReplayed(replay: RetainedReplay): void {
    const isOfReplay = ({ origin }: RecoveredReplay): boolean =>
      origin?.topicFilter === replay.topicFilter;
    for (const left of this.#replayed.filter(isOfReplay)) this.#resumeStep(replay, left);
    this.#replayed = this.#replayed.filter((left) => !isOfReplay(left));
  }

  #resumeStep(replay: RetainedReplay, left: RecoveredReplay): void {
    const { ordinal, packetId, state, origin, bytes } = left;
    if (origin === undefined) return;
    const isDone = state === SENT.done;
    const step = replay.know(origin.topic, isDone, () => this.#sent.remove(ordinal));
    if (isDone) return;
    const owed = owedOf(2, true, replay.subscriptionIds, undefined, () => {
      this.#settleStep(replay, step, owed, packetId);
    });
    owed.ordinal = ordinal;
    owed.origin = bytes;
    const message = replay.lookUp(new Topic(origin.topic));
    // Sent again only if it is the same message; else the client is made to forget the packet identifier, and what is newer came live.
    const isSame = state === SENT.published && message?.receivedAt === origin.receivedAt;
    const kept = isSame ? message : undefined;
    this.#inflight.add(packetId, owed, isSame ? "published" : "released", kept).wasSent = true;
  }

  /** What the last run had sent for subscriptions that are gone or done: the client is made to forget the packet identifiers. */
  #releaseReplayed(): void {
    for (const { ordinal, packetId, state } of this.#replayed) {
      const forget = (): void => this.#sent.remove(ordinal);
      if (state === SENT.done) {
        forget();
        continue;
      }
      const owed = owedOf(2, true, undefined, undefined, forget);
      owed.ordinal = ordinal;
      this.#inflight.add(packetId, owed, "released", undefined).wasSent = true;
    }
    this.#replayed = NO_REPLAYS;
  }

  #settleStep(replay: RetainedReplay, step: ReplayStep, owed: Owed, packetId: number): void {
    const isOnDisk = owed.origin !== undefined;
    if (!replay.settle(step) && isOnDisk) {
      this.#sent.put(owed.ordinal, SENT.done, packetId, owed.origin);
    }
    if (replay.isOver) this.#dropReplay(replay);
  }

  #dropReplay(replay: RetainedReplay): void {
    if (this.#replays.get(replay.topicFilter) === replay) this.#replays.delete(replay.topicFilter);
  }

  /** After a restart, before `attach`: a QoS 2 message of a shared subscription that stays with this session. */
  recoverKept({ owed, packetId, state }: KeptLeaseRecord): void {
    const isReleased = state === SENT.released;
    const entry = this.#inflight.add(
      packetId,
      owed,
      isReleased ? "released" : "published",
      undefined,
    );
    // It may not have been; but the client must be able to tell it if it was.
    entry.wasSent = true;
  }

  /** The rules have changed: what is owed by now is delivered only where `mayReceive` says so; undefined: always. */
  recheck(mayReceive: ((topic: Topic) => boolean) | undefined): void {
    this.#recheck.start(mayReceive, this.#store.openCommit);
  }

  attach(subscriber: Subscriber): void {
    this.#subscriber = subscriber;
    this.#resend.clear();
    this.#staged.clear();
    this.#inflight.forgetOutstanding();
    if (this.#replayed.length > 0) this.#releaseReplayed();
    for (const entry of this.#inflight.entries()) this.#resend.push(entry);
    this.pump();
  }

  /** What can still go to others goes back: leased with QoS 1, or with QoS 2 and not sent yet [MQTT 5.0 section 4.8.2]. */
  detach(): void {
    this.#subscriber = undefined;
    if (this.#pressure !== "none") this.#onRelieved();
    for (const entry of this.#inflight.entries()) {
      if (entry.owed.lease !== undefined) this.#giveBack(entry, entry.owed.lease);
    }
  }

  #giveBack(entry: InflightEntry, lease: Lease): void {
    const { owed } = entry;
    this.#inflight.remove(entry);
    if (owed.keptFor !== 0) this.#kept.remove(owed);
    owed.lease = undefined;
    lease.giveBack();
  }

  /**
   * Delivers a message of a shared subscription, QoS 1 or 2; only while `canLease`. With QoS 1 it is settled with PUBACK, whatever
   * that says [MQTT-4.8.2-6]; with QoS 2 when it is sent, because from then on nobody else may have it: what says so goes to disk before.
   * Hot path: per message of a shared subscription.
   */
  lease(
    lease: Lease,
    message: Message,
    qos: QoS,
    retain: boolean,
    subscriptionIds: readonly number[] | undefined,
  ): void {
    const subscriber = this.#subscriber;
    if (subscriber === undefined) {
      lease.giveBack();
      return;
    }
    const owed = owedOf(qos, retain, subscriptionIds);
    if (qos === 1) {
      owed.lease = lease;
      this.#send(subscriber, owed, message, undefined);
    } else if (lease.number === 0) {
      lease.settle();
      this.#send(subscriber, owed, message, undefined);
    } else {
      this.#leaseOnDisk(lease, owed, message);
    }
  }

  /** Durable sessions keep the message themselves from the next flush on. */
  #leaseOnDisk(lease: Lease, owed: Owed, message: Message): void {
    const packetId = this.#inflight.allocate();
    owed.lease = lease;
    lease.claim(owed);
    if (this.#log !== undefined) {
      owed.keptFor = lease.number;
      this.#kept.publish(owed, packetId, message);
    }
    this.#stageEntry(packetId, owed, undefined);
  }

  /** Retained messages to be sent as there is room; instead of what is left for the same topic filter. */
  replay(replay: RetainedReplay): void {
    this.cancelReplay(replay.topicFilter);
    this.#replays.set(replay.topicFilter, replay);
    if (this.#replayed.length > 0) this.#resumeReplayed(replay);
    this.pump();
  }

  /** The subscription is gone. */
  cancelReplay(topicFilter: string): void {
    this.#replays.get(topicFilter)?.cancel();
    this.#replays.delete(topicFilter);
  }

  /** Retained messages are to be sent or acknowledged. */
  get isReplaying(): boolean {
    return this.#replays.size > 0;
  }

  /** A live message is the client's by now: an older one that is retained for its topic is not sent any more. */
  noteNewer(topic: string): void {
    for (const replay of this.#replays.values()) replay.noteNewer(topic);
  }

  /** How far replays are goes with the open group. */
  stagePositions(): void {
    if (this.#log === undefined) return;
    for (const replay of this.#replays.values()) replay.stagePosition();
  }

  /**
   * Delivers a message to a session that ends with its connection; QoS 1 and 2. False: its backlog is full.
   * Hot path: per message and subscriber.
   */
  offer(
    message: Message,
    qos: QoS,
    retain: boolean,
    subscriptionIds: readonly number[] | undefined,
  ): boolean {
    const owed = owedOf(qos, retain, subscriptionIds);
    const subscriber = this.#subscriber;
    if (subscriber !== undefined && this.#memory.size === 0 && this.#hasWindow(subscriber)) {
      this.#send(subscriber, owed, message, undefined);
      return true;
    }
    if (!this.#memory.offer(owed, message)) return false;
    if (this.#pressure === "none" && this.#memory.fill > CONGESTED_FILL) this.#onCongested();
    return true;
  }

  /** Backlogs fill although the client is there. */
  #onCongested(): void {
    if (this.#subscriber === undefined) return;
    this.#pressure = "waited-for";
    this.#events.onCongested(this);
  }

  stopWaitingFor(): void {
    this.#pressure = "given-up";
  }

  get backlogFill(): number {
    return Math.max(this.#memory.fill, this.#log?.fill(this.#limits) ?? 0);
  }

  #onRelieved(): void {
    if (this.#pressure === "waited-for") this.#events.onRelieved(this);
    this.#pressure = "none";
  }

  /** A message of the open group is owed to this durable session; QoS 1 and 2. */
  stage(
    record: LogRecord,
    qos: QoS,
    retain: boolean,
    subscriptionIds: readonly number[] | undefined,
  ): void {
    this.#log?.stage(owedOf(qos, retain, subscriptionIds, record));
  }

  /**
   * The open group is being sealed: references go with it, and for QoS 2 messages that can be sent as soon as it is
   * flushed their packet identifiers too, which saves them a flush of their own.
   */
  seal(commit: CommitNumber): void {
    const log = this.#log;
    if (log === undefined) return;
    const canAssign = this.#subscriber !== undefined && log.isEmpty && this.#resend.size === 0;
    const staged = log.seal();
    if (canAssign) this.#assign(staged, log, commit);
    log.putMarked();
  }

  #assign(staged: readonly Owed[], log: LogBacklog, commit: CommitNumber): void {
    let room = this.#limits.inflightMax - this.#inflight.size;
    for (const owed of staged) {
      if (room-- <= 0) return;
      if (owed.qos !== 2) continue;
      const packetId = this.#inflight.allocate();
      if (packetId === 0) return;
      this.#inflight.add(packetId, owed, "staged", undefined).commit = commit;
      log.mark(owed, SENT.published, packetId);
    }
  }

  /** The open group is being sealed: how far QoS 2 deliveries came goes with it. */
  sealMarked(): void {
    this.#isMarked = false;
    this.#log?.putMarked();
  }

  /** What `seal` sealed is on disk; its records are still in memory. */
  flushed(): void {
    const log = this.#log;
    if (log === undefined) return;
    log.flushed(this.#subscriber !== undefined);
    this.pump();
    log.forgetRecords();
    this.keepWithinLimits();
    if (this.#pressure === "none" && log.fill(this.#limits) > CONGESTED_FILL) this.#onCongested();
  }

  /** PUBACK. False when no QoS 1 message with this packet identifier is in flight. */
  acknowledge(packetId: number): boolean {
    const entry = this.#inflight.get(packetId);
    if (entry === undefined || entry.owed.qos !== 1) return false;
    this.#settle(entry);
    return true;
  }

  /** The message is too large for the client: settled as if it had been acknowledged [MQTT-3.1.2-25]. */
  discard(packetId: number): void {
    const entry = this.#inflight.get(packetId);
    if (entry === undefined) return;
    const { lease } = entry.owed;
    if (lease?.refuse !== undefined) {
      this.#inflight.remove(entry);
      entry.owed.lease = undefined;
      lease.refuse();
      return;
    }
    this.#events.onDropped("too-large", 1);
    this.#settleSent(entry);
  }

  /** PUBREC. False when no QoS 2 message with this packet identifier is in flight [MQTT 5.0 section 4.3.3]. */
  received(packetId: number, isRefused: boolean): boolean {
    const entry = this.#inflight.get(packetId);
    if (entry === undefined || entry.owed.qos !== 2 || entry.state === "staged") return false;
    if (isRefused) {
      this.#settleSent(entry);
      return true;
    }
    this.#release(this.#subscriber, entry);
    return true;
  }

  /** PUBREL, once it is on disk that the message is with the client. */
  #release(subscriber: Subscriber | undefined, entry: InflightEntry): void {
    if (entry.state === "published") {
      entry.state = "released";
      entry.commit = NO_COMMIT;
      const { chunk, ordinal, keptFor } = entry.owed;
      if (chunk !== undefined || ordinal >= REPLAY_ORDINALS || keptFor !== 0) {
        entry.commit = this.#store.openCommit;
        if (keptFor !== 0) this.#kept.release(entry.owed, entry.packetId);
        else this.#putSent(entry.owed, SENT.released, entry.packetId);
      }
    }
    subscriber?.release(entry.packetId, entry.commit);
  }

  /** How far a QoS 2 delivery came: goes with the open group. Hot path: per step of each. */
  #putSent(owed: Owed, sent: number, packetId: number): void {
    if (owed.ordinal >= REPLAY_ORDINALS) {
      this.#sent.put(owed.ordinal, sent, packetId, owed.origin);
      return;
    }
    this.#log?.mark(owed, sent, packetId);
    this.#store.sealSoon();
    if (this.#isMarked) return;
    this.#isMarked = true;
    this.#events.onMarked(this);
  }

  /** PUBCOMP. False when nothing with this packet identifier was released. */
  completed(packetId: number): boolean {
    const entry = this.#inflight.get(packetId);
    if (entry === undefined || entry.state !== "released") return false;
    this.#settleSent(entry);
    return true;
  }

  /** Sends what may be sent now. Called when there is something new, room in the window or in the output. */
  pump(): void {
    const subscriber = this.#subscriber;
    if (subscriber === undefined) return;
    this.#pumpResend(subscriber);
    if (this.#resend.size > 0) return;
    this.#pumpStaged(subscriber);
    this.#pumpMemory(subscriber);
    this.#pumpLog(subscriber);
    this.#pumpReplays(subscriber);
    if (this.#pressure !== "none" && this.backlogFill < RELIEVED_FILL) this.#onRelieved();
    if (this.#recheck.isUnderWay) this.#checkRecheck();
  }

  /** Stops asking once nothing is left from before the rules changed. */
  #checkRecheck(): void {
    const isDone =
      this.#store.flushedCommit >= this.#recheck.until &&
      this.#inflight.size + this.#replays.size === 0 &&
      this.backlogSize === 0;
    if (isDone) this.#recheck.stop();
  }

  #hasWindow(subscriber: Subscriber): boolean {
    return (
      this.#inflight.outstanding < subscriber.receiveMaximum &&
      this.#inflight.size < this.#limits.inflightMax &&
      subscriber.hasRoom
    );
  }

  #pumpResend(subscriber: Subscriber): void {
    for (let entry = this.#resend.peek(); entry !== undefined; entry = this.#resend.peek()) {
      if (this.#inflight.outstanding >= subscriber.receiveMaximum || !subscriber.hasRoom) return;
      this.#resend.shift();
      if (this.#inflight.get(entry.packetId) !== entry) continue;
      if (entry.state === "released") {
        this.#inflight.markOutstanding(entry);
        subscriber.release(entry.packetId, entry.commit);
      } else if (entry.state === "staged") {
        this.#staged.push(entry);
      } else {
        this.#deliverEntry(subscriber, entry);
      }
    }
  }

  #pumpStaged(subscriber: Subscriber): void {
    for (let entry = this.#staged.peek(); entry !== undefined; entry = this.#staged.peek()) {
      if (entry.commit > this.#store.flushedCommit) {
        this.#events.onWaiting(this);
        return;
      }
      if (this.#inflight.outstanding >= subscriber.receiveMaximum || !subscriber.hasRoom) return;
      this.#staged.shift();
      if (this.#inflight.get(entry.packetId) !== entry || entry.state !== "staged") continue;
      entry.state = "published";
      this.#deliverEntry(subscriber, entry);
    }
  }

  #pumpMemory(subscriber: Subscriber): void {
    while (this.#hasWindow(subscriber)) {
      const pending = this.#memory.peek();
      if (pending === undefined) return;
      this.#memory.take();
      // [MQTT-3.3.2-5]
      if (isExpired(pending.message, this.#events.clock)) this.#events.onDropped("expired", 1);
      else if (this.#recheck.isDenied(pending.message)) this.#events.onDropped("not-authorized", 1);
      else this.#send(subscriber, pending.owed, pending.message, undefined);
    }
  }

  #pumpLog(subscriber: Subscriber): void {
    const log = this.#log;
    if (log === undefined) return;
    for (;;) {
      const owed = log.peek();
      if (owed === undefined) return;
      const assigned = owed.packetId === 0 ? undefined : this.#inflight.get(owed.packetId);
      if (assigned?.owed === owed) {
        // Its packet identifier went to disk with it (see seal).
        log.take();
        this.#staged.push(assigned);
        this.#pumpStaged(subscriber);
        continue;
      }
      if (!this.#hasWindow(subscriber)) return;
      if (owed.record === undefined && !this.#events.mayRead()) {
        this.#events.onCut(this);
        return;
      }
      if (!this.#sendOwed(subscriber, log, owed)) return;
    }
  }

  /** False when no packet identifier is free. */
  #sendOwed(subscriber: Subscriber, log: LogBacklog, owed: Owed): boolean {
    if (owed.sent !== 0) {
      log.take();
      this.#resume(subscriber, log, owed);
      return true;
    }
    const record = log.recordOf(owed);
    const reason = record === undefined ? "lost" : this.#dropReason(record);
    if (record === undefined || reason !== undefined) {
      log.take();
      if (reason !== undefined) this.#events.onDropped(reason, 1);
      log.settle(owed);
      return true;
    }
    if (owed.qos !== 2) {
      log.take();
      this.#send(subscriber, owed, record, undefined);
      return true;
    }
    const packetId = this.#inflight.allocate();
    if (packetId === 0) return false;
    log.take();
    this.#sendAfterFlush(packetId, owed, undefined);
    return true;
  }

  /** QoS 2 in a session that lasts: the packet identifier is on disk before PUBLISH. */
  #sendAfterFlush(packetId: number, owed: Owed, keep: Message | undefined): void {
    this.#putSent(owed, SENT.published, packetId);
    this.#stageEntry(packetId, owed, keep);
  }

  /** It is sent after the flush of the open group. */
  #stageEntry(packetId: number, owed: Owed, keep: Message | undefined): void {
    const entry = this.#inflight.add(packetId, owed, "staged", keep);
    entry.commit = this.#store.openCommit;
    this.#staged.push(entry);
    this.#events.onWaiting(this);
  }

  #dropReason(message: Message): DropReason | undefined {
    const { clock } = this.#events;
    if (isExpired(message, clock)) return "expired";
    const { backlogAgeMaxMs } = this.#limits;
    if (backlogAgeMaxMs !== undefined && clock.since(message.receivedAt) >= backlogAgeMaxMs) {
      return "too-old";
    }
    return this.#recheck.isDenied(message) ? "not-authorized" : undefined;
  }

  /** A QoS 2 delivery that was under way when the last run ended goes on where it was. */
  #resume(subscriber: Subscriber, log: LogBacklog, owed: Owed): void {
    if (owed.sent === SENT.done) {
      log.settle(owed);
      return;
    }
    const isReleased = owed.sent === SENT.released;
    const state = isReleased ? "released" : "published";
    const entry = this.#inflight.add(owed.packetId, owed, state, undefined);
    entry.wasSent = true;
    if (isReleased) {
      this.#inflight.markOutstanding(entry);
      subscriber.release(entry.packetId, NO_COMMIT);
    } else {
      this.#deliverEntry(subscriber, entry);
    }
  }

  #pumpReplays(subscriber: Subscriber): void {
    for (const replay of this.#replays.values()) {
      while (this.#hasWindow(subscriber)) {
        const message = replay.next();
        if (message === undefined) break;
        this.#replayOne(subscriber, replay, message);
      }
      if (!replay.isAtEnd) return;
      replay.checkDone();
      if (replay.isOver) this.#dropReplay(replay);
    }
  }

  #replayOne(subscriber: Subscriber, replay: RetainedReplay, message: Message): void {
    if (isExpired(message, this.#events.clock)) return;
    if (this.#recheck.isDenied(message)) {
      this.#events.onDropped("not-authorized", 1);
      return;
    }
    const qos = message.qos < replay.qos ? message.qos : replay.qos;
    const { text } = message.topic;
    if (qos === 0) {
      this.#events.onDelivered(0);
      subscriber.deliver(message, 0, 0, false, true, replay.subscriptionIds);
      replay.settle(replay.sent(text, undefined));
      return;
    }
    const isOnDisk = qos === 2 && this.#log !== undefined;
    const packetId = isOnDisk ? this.#inflight.allocate() : 0;
    const ordinal = (REPLAY_ORDINALS + ++this.#replayNumber) as Ordinal;
    const step = replay.sent(text, isOnDisk ? () => this.#sent.remove(ordinal) : undefined);
    const owed = owedOf(qos, true, replay.subscriptionIds, undefined, () => {
      this.#settleStep(replay, step, owed, packetId);
    });
    if (!isOnDisk) {
      this.#send(subscriber, owed, message, message);
      return;
    }
    const { topicFilter } = replay;
    owed.ordinal = ordinal;
    owed.origin = encodeOrigin({ receivedAt: message.receivedAt, topicFilter, topic: text });
    this.#sendAfterFlush(packetId, owed, message);
  }

  /** Enters the message into the window and sends it. */
  #send(subscriber: Subscriber, owed: Owed, message: Message, keep: Message | undefined): void {
    const packetId = this.#inflight.allocate();
    if (packetId === 0) return;
    const entry = this.#inflight.add(packetId, owed, "published", keep);
    this.#inflight.markOutstanding(entry);
    entry.wasSent = true;
    this.#events.onDelivered(owed.qos);
    subscriber.deliver(message, owed.qos, packetId, false, owed.retain, owed.subscriptionIds);
  }

  /** Sends or sends again what is in the window already. */
  #deliverEntry(subscriber: Subscriber, entry: InflightEntry): void {
    const { owed } = entry;
    const { lease } = owed;
    const message = entry.message ?? lease?.message() ?? this.#messageOf(owed);
    if (message === undefined) {
      this.#events.onDropped("lost", 1);
      this.#settle(entry);
      return;
    }
    if (!entry.wasSent && isExpired(message, this.#events.clock)) {
      this.#events.onDropped("expired", 1);
      this.#settleSent(entry);
      return;
    }
    if (this.#recheck.isDenied(message)) {
      this.#withdraw(subscriber, entry);
      return;
    }
    if (lease !== undefined) {
      // QoS 2, and from here on this session's alone.
      owed.lease = undefined;
      lease.settle();
    }
    this.#inflight.markOutstanding(entry);
    const isDuplicate = entry.wasSent;
    // It was entered when its group was sealed, and others may have been sent since.
    if (!isDuplicate) this.#inflight.moveLast(entry);
    entry.wasSent = true;
    this.#events.onDelivered(owed.qos);
    subscriber.deliver(
      message,
      owed.qos,
      entry.packetId,
      isDuplicate,
      owed.retain,
      owed.subscriptionIds,
    );
  }

  #messageOf(owed: Owed): Message | undefined {
    return owed.keptFor === 0 ? this.#log?.recordOf(owed) : this.#kept.read(owed);
  }

  /**
   * Not to be delivered any more. A QoS 2 message that was sent before the client may have: it is released, so that both sides
   * forget its packet identifier; everything else counts as settled.
   */
  #withdraw(subscriber: Subscriber, entry: InflightEntry): void {
    const { lease } = entry.owed;
    if (lease !== undefined) {
      this.#giveBack(entry, lease);
      return;
    }
    this.#events.onDropped("not-authorized", 1);
    if (entry.owed.qos !== 2 || !entry.wasSent) {
      this.#settleSent(entry);
      return;
    }
    this.#inflight.markOutstanding(entry);
    this.#release(subscriber, entry);
  }

  /** A QoS 2 delivery is over: what says so stays until its references record goes. */
  #settleSent(entry: InflightEntry): void {
    const { owed } = entry;
    if (owed.qos === 2 && owed.chunk !== undefined && owed.chunk.unsettled > 1) {
      this.#putSent(owed, SENT.done, entry.packetId);
    }
    this.#settle(entry);
  }

  #settle(entry: InflightEntry): void {
    this.#inflight.remove(entry);
    const { owed } = entry;
    if (owed.lease !== undefined) owed.lease.settle();
    if (owed.keptFor !== 0) this.#kept.remove(owed);
    this.#log?.settle(owed);
    owed.onSettled?.();
  }
}
