/**
 * A shared subscription: several sessions subscribe together, and each message goes to one of them [MQTT 5.0 section 4.8.2]. To
 * the subscription tree it is one subscriber. It has what waits; members lease from it and settle or give back.
 *
 *     waiting ----(a member is ready)---> leased ----PUBACK; QoS 0 or 2: sent----> settled
 *        ^                                  |
 *        `--(the member leaves without it)--'
 *
 * - **In memory** as long as all members end with their connections: copies, bounded.
 * - **On disk** from the first durable member on, until the last member of any kind leaves: a backlog of its own, under a number of its own,
 *   and messages count as durable interest.
 *
 * A message sent with QoS 2 is its member's alone: what says so (`claim`) is flushed before PUBLISH, together with the record under
 * which a durable member keeps it [MQTT-4.8.2-4, 4.8.2-5].
 */

import type { Clock } from "../lib/clock.ts";
import { RingBuffer } from "../lib/ring-buffer.ts";
import type { OutboundLimits } from "./limits.ts";
import { LogBacklog } from "./log-backlog.ts";
import { MemoryBacklog } from "./memory-backlog.ts";
import { copyMessage, isExpired, type Message, propertyBytes, type QoS } from "./message.ts";
import type { NumberedOwner } from "./numbered-records.ts";
import type { DropReason } from "./outbound-events.ts";
import { owedOf } from "./owed.ts";
import { Rotation } from "./rotation.ts";
import { SENT } from "./sent-records.ts";
import { lowerQos, type Session } from "./session.ts";
import type { ReferencesHead } from "./session-records.ts";
import { SharedLease } from "./shared-lease.ts";
import { type LogRecord, type Ordinal, SESSION_LOG, type Store } from "./store.ts";
import type { SubscriptionOptions } from "./subscription-tree.ts";

/** A session in a shared subscription, with the options it gave. */
interface Member {
  readonly session: Session;
  readonly options: SubscriptionOptions;
  readonly subscriptionIds: readonly number[] | undefined;
}

/** What a shared subscription tells those who keep it. */
export interface SharedEvents {
  readonly clock: Clock;
  /** It has something to hand out: `pump` it at the end of the turn. */
  onWork(shared: SharedSubscription): void;
  /** See `OutboundEvents`. */
  mayRead(): boolean;
  onCut(pumped: { pump(): void }): void;
  /** It has references for the open group: `seal` it, and call `flushed` afterwards. */
  onStaged(shared: SharedSubscription): void;
  onDropped(reason: DropReason, count: number): void;
  onBacklogDropped(name: string, count: number): void;
  onDelivered(qos: QoS): void;
}

/** One (ShareName, topic filter), for as long as it has members. */
export class SharedSubscription implements NumberedOwner {
  readonly kind = "shared";
  /** As it is subscribed to, with `$share`. */
  readonly name: string;
  /** Its number in the store's keys; 0 while it is in memory only. */
  number = 0;
  /** It has a backlog on disk. */
  isDurable = false;
  isStaged = false;
  hasEnded = false;
  readonly #store: Store;
  readonly #limits: OutboundLimits;
  readonly #events: SharedEvents;
  readonly #members = new Map<Session, Member>();
  /** Those with a connection. */
  readonly #present = new Rotation<Member>();
  /** Given back: handed out before all else. */
  readonly #returned = new RingBuffer<SharedLease>();
  readonly #memory: MemoryBacklog;
  /** Payload bytes of leases that are in memory only. */
  #leasedBytes = 0;
  #log: LogBacklog | undefined;

  constructor(name: string, store: Store, limits: OutboundLimits, events: SharedEvents) {
    this.name = name;
    this.#store = store;
    this.#limits = limits;
    this.#events = events;
    this.#memory = new MemoryBacklog(limits.memoryBacklogBytesMax);
  }

  get memberCount(): number {
    return this.#members.size;
  }

  get hasDurableMember(): boolean {
    for (const session of this.#members.keys()) if (session.isDurable) return true;
    return false;
  }

  /** Messages that nobody has now. */
  get backlogSize(): number {
    return this.#returned.size + this.#memory.size + (this.#log?.size ?? 0);
  }

  /** The lowest ordinal that is not settled: its log may not lose it. */
  get oldestOrdinal(): Ordinal | undefined {
    return this.#log?.oldestOrdinal;
  }

  /** What logs must keep for it, about, in bytes. */
  get pinnedBytes(): number {
    return this.#log?.pinnedBytes ?? 0;
  }

  /** True when a message for it is to be refused. Hot path: per durable message where backlogs may refuse. */
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
    if (dropped > 0) this.#events.onBacklogDropped(this.name, dropped);
  }

  /** What its members' options come to, for the route: the highest granted QoS. */
  get options(): SubscriptionOptions {
    let qos: QoS = 0;
    for (const { options } of this.#members.values()) if (options.qos > qos) qos = options.qos;
    return {
      qos,
      noLocal: false,
      retainAsPublished: true,
      retainHandling: 2,
      subscriptionId: undefined,
    };
  }

  /** A session subscribes, or subscribes with other options. */
  join(session: Session, options: SubscriptionOptions): void {
    this.leave(session);
    const { subscriptionId } = options;
    const subscriptionIds = subscriptionId === undefined ? undefined : [subscriptionId];
    this.#members.set(session, { session, options, subscriptionIds });
    if (session.subscriber !== undefined) this.attach(session);
  }

  /** A session does not subscribe any more; what it has been sent it may still acknowledge. */
  leave(session: Session): void {
    this.detach(session);
    this.#members.delete(session);
  }

  /** A member has a connection. */
  attach(session: Session): void {
    const member = this.#members.get(session);
    if (member === undefined) return;
    this.#present.add(member);
    this.#events.onWork(this);
  }

  /** A member's connection is gone. */
  detach(session: Session): void {
    const member = this.#members.get(session);
    if (member !== undefined) this.#present.remove(member);
  }

  /** From now on its backlog is on disk, under this number; what waits in memory goes there. */
  becomeDurable(number: number): void {
    this.number = number;
    this.isDurable = true;
    this.#log = new LogBacklog(this.#store, number);
    for (let next = this.#memory.peek(); next !== undefined; next = this.#memory.peek()) {
      this.#memory.take();
      this.#storeAnew(next.message);
    }
    for (let count = this.#returned.size; count > 0; count--) {
      const message = this.#returned.shift()?.kept;
      if (message !== undefined) this.#storeAnew(message);
    }
  }

  /** After a restart: a record of references that is on disk, in order. */
  recoverReferences(ordinal: Ordinal, head: ReferencesHead): void {
    this.#log?.recover(ordinal, head);
  }

  recoverDeliveries(): void {
    // What members had with QoS 2 is seen when it is its turn.
  }

  recoverSent(): void {
    // Nothing retained is sent in its name.
  }

  recoverKept(): void {
    // Sessions keep what is theirs.
  }

  recoverReceived(): void {
    // Nobody publishes in its name.
  }

  /** It has no members any more. What is leased is not taken back. */
  end(): void {
    this.hasEnded = true;
    this.#returned.clear();
    this.#memory.clear();
  }

  /** Delivers a message that no log holds for it to one member, now or when one is ready. Hot path: per message. */
  deliver(message: Message, qos: QoS): void {
    if (qos === 0) {
      this.#deliverQos0(message);
    } else if (this.isDurable) {
      // It was in memory when the message was routed.
      this.#storeAnew(message);
    } else if (!this.#offer(message)) {
      // Nobody keeps up, and what was promised cannot be kept: so all of them are told.
      for (const { owner } of [...this.#members.keys()]) owner?.end("quota-exceeded");
    }
  }

  /** A record of the open group is owed to one member. Hot path: per durable message. */
  stage(record: LogRecord, message: Message): void {
    this.#log?.stage(owedOf(message.qos, message.retain, undefined, record));
    this.#noteStaged();
  }

  #noteStaged(): void {
    if (this.isStaged) return;
    this.isStaged = true;
    this.#events.onStaged(this);
  }

  /** The open group is being sealed: the references go with it. */
  seal(): void {
    this.#log?.seal();
    this.#log?.putMarked();
  }

  /** What `seal` sealed is on disk; its records are still in memory. */
  flushed(): void {
    const log = this.#log;
    if (log === undefined) return;
    log.flushed(this.#present.size > 0);
    this.pump();
    log.forgetRecords();
    this.keepWithinLimits();
  }

  /**
   * Gives a request to one member that answers on its topic; QoS 0. Above 0: it was given; 0: those who answer have no room; below 0: nobody
   * who is connected does.
   */
  request(message: Message, isByConvention: boolean): number {
    let most = -1;
    const member = this.#present.choose((candidate) => {
      const { session, subscriptionIds } = candidate;
      const room = session.subscriber?.requestRoom?.(subscriptionIds, isByConvention) ?? -1;
      most = Math.max(most, room);
      return room > 0 ? session.outbound.inflightSize : -1;
    });
    if (member === undefined) return most;
    const { session, subscriptionIds } = member;
    session.subscriber?.deliver(message, 0, 0, false, false, subscriptionIds);
    return most;
  }

  /** Hands out what waits while members are ready. */
  pump(): void {
    while (!this.hasEnded && this.backlogSize > 0) {
      const member = this.#present.choose(loadOf);
      if (member === undefined) return;
      if (!this.#events.mayRead()) {
        this.#events.onCut(this);
        return;
      }
      if (!this.#handNext(member)) return;
    }
  }

  recordOf(owed: SharedLease["owed"]): Message | undefined {
    return this.#log?.recordOf(owed);
  }

  /** See `Lease.claim`. */
  claim(lease: SharedLease): void {
    lease.isClaimed = true;
    // The packet identifier is the member's affair.
    this.#mark(lease, SENT.done, 1);
  }

  /** Goes with the open group. */
  #mark({ owed }: SharedLease, sent: number, packetId: number): void {
    this.#log?.mark(owed, sent, packetId);
    this.#noteStaged();
    this.#store.sealSoon();
  }

  /** See `Lease.settle`. */
  settle(lease: SharedLease): void {
    if (lease.kept !== undefined) this.#leasedBytes -= bytesOf(lease.kept);
    if (this.hasEnded) return;
    if (lease.kept === undefined) this.#log?.settle(lease.owed);
    if (this.backlogSize > 0) this.#events.onWork(this);
  }

  /** See `Lease.giveBack`. */
  giveBack(lease: SharedLease): void {
    if (lease.kept !== undefined) this.#leasedBytes -= bytesOf(lease.kept);
    if (this.hasEnded) return;
    if (lease.isClaimed) {
      lease.isClaimed = false;
      this.#mark(lease, 0, 0);
    }
    if (lease.kept !== undefined && this.isDurable) this.#storeAnew(lease.kept);
    else this.#returned.push(lease);
    this.#events.onWork(this);
  }

  /** Puts what was in memory on disk, as if it had just been published. A store that failed takes nothing, and all is over. */
  #storeAnew(message: Message): void {
    if (this.#store.refusal() === "failed") return;
    this.stage(this.#store.append(SESSION_LOG, message), message);
  }

  /** False: there is no room to wait. */
  #offer(message: Message): boolean {
    const owed = owedOf(message.qos, message.retain, undefined);
    if (this.backlogSize === 0 && this.#hasLeaseRoom) {
      const member = this.#present.choose(loadOf);
      if (member !== undefined) {
        this.#hand(member, this.#leaseOf(owed, copyMessage(message)), message);
        return true;
      }
    }
    return this.#memory.offer(owed, message);
  }

  get #hasLeaseRoom(): boolean {
    return this.#leasedBytes < this.#limits.memoryBacklogBytesMax;
  }

  #leaseOf(owed: SharedLease["owed"], kept: Message | undefined): SharedLease {
    return new SharedLease(this, owed, kept);
  }

  /** False when what comes next has to wait although the member is ready. */
  #handNext(member: Member): boolean {
    const returned = this.#returned.shift();
    if (returned !== undefined) {
      this.#hand(member, returned, returned.message());
      return true;
    }
    const pending = this.#memory.peek();
    if (pending !== undefined) {
      if (!this.#hasLeaseRoom) return false;
      this.#memory.take();
      this.#hand(member, this.#leaseOf(pending.owed, pending.message), pending.message);
      return true;
    }
    const log = this.#log;
    const owed = log?.peek();
    if (log === undefined || owed === undefined) return false;
    log.take();
    // A member had it with QoS 2 when the last run ended.
    if (owed.sent !== 0) log.settle(owed);
    else this.#hand(member, this.#leaseOf(owed, undefined), log.recordOf(owed));
    return true;
  }

  /** One message to one member. */
  #hand(member: Member, lease: SharedLease, message: Message | undefined): void {
    const { session, options, subscriptionIds } = member;
    if (lease.kept !== undefined) this.#leasedBytes += bytesOf(lease.kept);
    const dropReason = this.#dropReason(message);
    if (message === undefined || dropReason !== undefined) {
      this.#events.onDropped(dropReason ?? "lost", 1);
      lease.settle();
      return;
    }
    // [MQTT-4.8.2-3]
    const qos = lowerQos(lease.owed.qos, options.qos);
    const retain = lease.owed.retain && options.retainAsPublished;
    if (qos > 0) {
      session.outbound.lease(lease, message, qos, retain, subscriptionIds);
      return;
    }
    lease.settle();
    this.#events.onDelivered(0);
    session.subscriber?.deliver(message, 0, 0, false, retain, subscriptionIds);
  }

  #dropReason(message: Message | undefined): DropReason | undefined {
    if (message === undefined) return "lost";
    const { clock } = this.#events;
    // [MQTT-3.3.2-5]
    if (isExpired(message, clock)) return "expired";
    const { backlogAgeMaxMs } = this.#limits;
    const isTooOld =
      backlogAgeMaxMs !== undefined && clock.since(message.receivedAt) >= backlogAgeMaxMs;
    return isTooOld ? "too-old" : undefined;
  }

  #deliverQos0(message: Message): void {
    const member = this.#present.choose(loadOfQos0);
    if (member === undefined) {
      const isAlone = this.#present.size === 0;
      this.#events.onDropped(isAlone ? "no-member" : "slow-subscriber", 1);
      return;
    }
    const { session, options, subscriptionIds } = member;
    const retain = message.retain && options.retainAsPublished;
    this.#events.onDelivered(0);
    session.subscriber?.deliver(message, 0, 0, false, retain, subscriptionIds);
  }
}

/** Whether a member may be sent something that it need not acknowledge, and what it has to do. */
const loadOfQos0 = ({ session, subscriptionIds }: Member): number => {
  const { subscriber, outbound } = session;
  if (subscriber?.hasRoom !== true) return -1;
  return subscriber.hasCredit?.(subscriptionIds) === false ? -1 : outbound.inflightSize;
};

/** The same for what it is to acknowledge, as far as its subscription asks for that. */
const loadOf = (member: Member): number => {
  if (member.options.qos === 0) return loadOfQos0(member);
  const { outbound } = member.session;
  return outbound.canLease ? outbound.inflightSize : -1;
};

const bytesOf = ({ payloadStart, payloadEnd, properties }: Message): number =>
  payloadEnd - payloadStart + propertyBytes(properties) + 256;
