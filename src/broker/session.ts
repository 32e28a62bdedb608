/**
 * What outlives a network connection: subscriptions, what is in flight and what waits [MQTT 5.0 section 4.1].
 *
 *     detached --attach--> attached --detach--> detached --(expiry)--> ended
 *
 * A session is durable when it was created with an expiry interval above 0; only then it is on disk. Packet identifiers
 * received with QoS 2 belong to it: `committing` until their commit is flushed, then `stored`, gone with PUBREL.
 */

import type { Instant } from "../lib/clock.ts";
import type { Deadline } from "../lib/deadline-heap.ts";
import { LazyMap } from "../lib/lazy-map.ts";
import type { Principal } from "./authenticator.ts";
import type { Due } from "./due.ts";
import type { KeptLeaseRecord } from "./kept-leases.ts";
import type { OutboundLimits } from "./limits.ts";
import type { QoS } from "./message.ts";
import type { NumberedOwner } from "./numbered-records.ts";
import { Outbound } from "./outbound.ts";
import type { OutboundEvents } from "./outbound-events.ts";
import type { PatternSubscription } from "./pattern-subscriptions.ts";
import type { SentRecord } from "./sent-records.ts";
import {
  type Reference,
  type ReferencesHead,
  receivedKey,
  sessionKey,
  subscriptionKey,
} from "./session-records.ts";
import type { SharedSubscription } from "./shared-subscription.ts";
import { type CommitNumber, NO_COMMIT, type Ordinal, type Store } from "./store.ts";
import type { Subscriber } from "./subscriber.ts";
import type { SubscriptionOptions } from "./subscription-tree.ts";

/** No expiry: the session stays until it is ended [MQTT 5.0 section 3.1.2.11.2]. */
export const NEVER_MS = Number.POSITIVE_INFINITY;

export interface SessionSubscription extends SubscriptionOptions {
  readonly topicFilter: string;
  /** Its retained messages are not all delivered yet. */
  isReplaying: boolean;
  /** So far as is on disk: all of them up to this topic are settled. */
  replayAfter?: string | undefined;
  /** Of a subscription to a stream: all before this sequence is settled. */
  streamPosition?: number | undefined;
}

/** The session as it is on disk, in JSON. */
export interface SessionRecord {
  readonly version: 2;
  readonly number: number;
  /** User name of whom it belongs to; absent: anonymous. */
  readonly user?: string;
  /** Null: never. */
  readonly expiryMs: number | null;
  /** Null while a connection is attached. */
  readonly detachedAt: number | null;
}

const utf8 = new TextEncoder();

export class Session implements NumberedOwner {
  readonly kind = "session";
  readonly clientId: string;
  /** Its number in the store's keys; 0 when it is not durable. */
  readonly number: number;
  /** Whom it belongs to: nobody else can take it over, resume or end it. */
  readonly principal: Principal;
  readonly isDurable: boolean;
  readonly subscriptions = new LazyMap<string, SessionSubscription>();
  /** Those that it is in, by name. */
  readonly shared = new LazyMap<string, SharedSubscription>();
  /** Its subscriptions to queues and streams, by topic filter. */
  readonly patterns = new LazyMap<string, PatternSubscription>();
  readonly outbound: Outbound;
  readonly #store: Store;
  /** QoS 2 packet identifiers received and not released, with the commit that stores them. */
  readonly #received = new LazyMap<number, CommitNumber>();
  expiryMs: number;
  /** Undefined while no connection is attached. */
  subscriber: Subscriber | undefined = undefined;
  /** The connection that owns the session, attached or about to be. */
  owner: Subscriber | undefined = undefined;
  detachedAt: Instant | undefined = undefined;
  expiryDeadline: Deadline<Due> | undefined = undefined;
  /** Staged deliveries wait for the seal of the open group. */
  isStaged = false;
  hasEnded = false;

  constructor(
    store: Store,
    clientId: string,
    principal: Principal,
    number: number,
    expiryMs: number,
    limits: OutboundLimits,
    events: OutboundEvents,
  ) {
    this.#store = store;
    this.clientId = clientId;
    this.principal = principal;
    this.number = number;
    this.expiryMs = expiryMs;
    this.isDurable = number !== 0;
    this.outbound = new Outbound(store, clientId, number, this.isDurable, limits, events);
  }

  attach(subscriber: Subscriber): void {
    this.subscriber = subscriber;
    this.outbound.attach(subscriber);
    for (const shared of this.shared.values()) shared.attach(this);
    for (const pattern of this.patterns.values()) pattern.attach();
  }

  detach(): void {
    this.subscriber = undefined;
    this.owner = undefined;
    for (const shared of this.shared.values()) shared.detach(this);
    for (const pattern of this.patterns.values()) pattern.detach();
    this.outbound.detach();
  }

  /** Stages the session as it is now, without its subscriptions. */
  persist(): void {
    if (!this.isDurable || this.hasEnded) return;
    const record: SessionRecord = {
      version: 2,
      number: this.number,
      ...(this.principal === undefined ? {} : { user: this.principal }),
      expiryMs: this.expiryMs === NEVER_MS ? null : this.expiryMs,
      detachedAt: this.owner === undefined ? (this.detachedAt ?? null) : null,
    };
    this.#store.put("meta", sessionKey(this.clientId), utf8.encode(JSON.stringify(record)));
  }

  /** Stages a subscription as it is now: each is a record of its own, so that a change costs what it changes. */
  persistSubscription(topicFilter: string): void {
    if (!this.isDurable || this.hasEnded) return;
    const key = subscriptionKey(this.number, topicFilter);
    const subscription = this.subscriptions.get(topicFilter);
    if (subscription === undefined) {
      this.#store.remove("meta", key);
      return;
    }
    const { topicFilter: _inTheKey, ...record } = subscription;
    this.#store.put("meta", key, utf8.encode(JSON.stringify(record)));
  }

  /** The commit that a QoS 2 message with this packet identifier waits for; undefined: it is new [MQTT-4.3.3-10]. */
  receivedCommit(packetId: number): CommitNumber | undefined {
    return this.#received.get(packetId);
  }

  /**
   * A QoS 2 message was taken that waits for `messageCommit`; its packet identifier is stored in the same commit
   * [MQTT-4.3.3-9]. Returns the commit that PUBREC waits for.
   */
  receive(packetId: number, messageCommit: CommitNumber): CommitNumber {
    let commit = messageCommit;
    if (this.isDurable) {
      this.#store.put("meta", receivedKey(this.number, packetId), Uint8Array.of(1));
      commit = this.#store.openCommit;
    }
    this.#received.set(packetId, commit);
    return commit;
  }

  /** See NumberedOwner; this and the four below come after a restart, before `attach`. */
  recoverReferences(ordinal: Ordinal, head: ReferencesHead): void {
    this.outbound.recoverReferences(ordinal, head);
  }

  recoverDeliveries(references: readonly Reference[]): void {
    this.outbound.recoverDeliveries(references);
  }

  recoverSent(ordinal: Ordinal, record: SentRecord): void {
    this.outbound.recoverSent(ordinal, record);
  }

  recoverKept(lease: KeptLeaseRecord): void {
    this.outbound.recoverKept(lease);
  }

  recoverReceived(packetId: number): void {
    this.#received.set(packetId, NO_COMMIT);
  }

  /** PUBREL: undefined when the packet identifier is not known, else the commit that PUBCOMP waits for [MQTT-4.3.3-11]. */
  release(packetId: number): CommitNumber | undefined {
    if (!this.#received.delete(packetId)) return undefined;
    if (!this.isDurable) return NO_COMMIT;
    this.#store.remove("meta", receivedKey(this.number, packetId));
    return this.#store.openCommit;
  }
}

/** The lower of two qualities of service. */
export const lowerQos = (a: QoS, b: QoS): QoS => (a < b ? a : b);
