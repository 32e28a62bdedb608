/** All shared subscriptions: who is in which, since when on disk, and which have something to hand out. */
import type { OutboundLimits } from "./limits.ts";
import type { NumberedRecords } from "./numbered-records.ts";
import type { OutboundEvents } from "./outbound-events.ts";
import type { Session } from "./session.ts";
import {
  decodeShared,
  encodeShared,
  SHARED_PREFIX,
  sharedKey,
  sharedNameOf,
} from "./session-records.ts";
import { plainFilterOf } from "./shared-filter.ts";
import { type SharedEvents, SharedSubscription } from "./shared-subscription.ts";
import type { Store } from "./store.ts";
import type { SubscriptionOptions, SubscriptionTree } from "./subscription-tree.ts";

/** To whom the subscription tree leads. */
export type TreeSubscriber = Session | SharedSubscription;

export class SharedSubscriptions {
  readonly #store: Store;
  readonly #numbers: NumberedRecords;
  readonly #tree: SubscriptionTree<TreeSubscriber>;
  readonly #limits: OutboundLimits;
  readonly #events: SharedEvents;
  readonly #byName = new Map<string, SharedSubscription>();
  /** With something to hand out at the end of the turn. */
  #dirty = new Set<SharedSubscription>();
  /** With references for the open group; and for the sealed one. */
  #staged: SharedSubscription[] = [];
  #sealed: SharedSubscription[] = [];
  /** During recovery: numbers by name, as far as they are not in use yet. */
  #recovering: Map<string, number> | undefined;
  #memberCount = 0;

  constructor(
    store: Store,
    numbers: NumberedRecords,
    tree: SubscriptionTree<TreeSubscriber>,
    limits: OutboundLimits,
    { clock, onDropped, onBacklogDropped, onDelivered, mayRead, onCut }: OutboundEvents,
  ) {
    this.#store = store;
    this.#numbers = numbers;
    this.#tree = tree;
    this.#limits = limits;
    this.#events = {
      clock,
      onDropped,
      onBacklogDropped,
      onDelivered,
      mayRead,
      onCut,
      onWork: (shared) => this.#dirty.add(shared),
      onStaged: (shared) => this.#staged.push(shared),
    };
  }

  /** How many there are. */
  get size(): number {
    return this.#byName.size;
  }

  /** Members of all of them together. */
  get memberCount(): number {
    return this.#memberCount;
  }

  get(name: string): SharedSubscription | undefined {
    return this.#byName.get(name);
  }

  /** A session subscribes under this name (valid, with `$share`), for the first time or with other options. */
  join(name: string, session: Session, options: SubscriptionOptions): void {
    let shared = this.#byName.get(name);
    if (shared === undefined) {
      shared = new SharedSubscription(name, this.#store, this.#limits, this.#events);
      this.#byName.set(name, shared);
    }
    const before = shared.memberCount;
    shared.join(session, options);
    this.#memberCount += shared.memberCount - before;
    session.shared.set(name, shared);
    this.#enterTree(shared);
    if (session.isDurable && !shared.isDurable) this.#makeDurable(shared);
  }

  /** A session does not subscribe under this name any more. With its last member it ends, and what waits for it. */
  leave(name: string, session: Session): void {
    const shared = this.#byName.get(name);
    if (shared === undefined || !session.shared.delete(name)) return;
    shared.leave(session);
    this.#memberCount--;
    if (shared.memberCount > 0) this.#enterTree(shared);
    else this.#end(shared);
  }

  /** A member's window or output has room again. */
  touch(session: Session): void {
    for (const shared of session.shared.values()) this.#dirty.add(shared);
  }

  /** The end of a turn: what waits is handed out. */
  pump(): void {
    if (this.#dirty.size === 0) return;
    const dirty = this.#dirty;
    this.#dirty = new Set();
    for (const shared of dirty) shared.pump();
  }

  /** The open group is being sealed. */
  seal(): void {
    this.#sealed = this.#staged;
    this.#staged = [];
    for (const shared of this.#sealed) {
      shared.isStaged = false;
      if (!shared.hasEnded) shared.seal();
    }
  }

  /** What `seal` sealed is on disk. */
  flushed(): void {
    const sealed = this.#sealed;
    this.#sealed = [];
    for (const shared of sealed) if (!shared.hasEnded) shared.flushed();
  }

  /** After a restart, before sessions join: what is known of those on disk. Returns how many records were damaged. */
  beginRecovery(): number {
    const known = new Map<string, number>();
    let damaged = 0;
    for (const [key, value] of this.#store.scan("meta", SHARED_PREFIX)) {
      const number = decodeShared(value);
      if (number === undefined) {
        damaged++;
        this.#store.remove("meta", key);
      } else {
        known.set(sharedNameOf(key), number);
        this.#numbers.noteUsed(number);
      }
    }
    this.#recovering = known;
    return damaged;
  }

  /** Those whose backlog is on disk. */
  *durable(): IterableIterator<SharedSubscription> {
    for (const shared of this.#byName.values()) if (shared.isDurable) yield shared;
  }

  /** All sessions have joined, all numbers are known: what nobody is in goes, whose number was lost gets a new one. */
  endRecovery(): void {
    for (const name of this.#recovering?.keys() ?? []) {
      this.#store.remove("meta", sharedKey(name));
    }
    this.#recovering = undefined;
    for (const shared of this.#byName.values()) {
      if (!shared.isDurable && shared.hasDurableMember) this.#makeDurable(shared);
    }
  }

  #enterTree(shared: SharedSubscription): void {
    const topicFilter = plainFilterOf(shared.name);
    this.#tree.add({ ...shared.options, topicFilter, subscriber: shared });
  }

  #makeDurable(shared: SharedSubscription): void {
    const { name } = shared;
    if (this.#recovering !== undefined) {
      const number = this.#recovering.get(name);
      if (number === undefined) return;
      this.#recovering.delete(name);
      shared.becomeDurable(number);
      return;
    }
    shared.becomeDurable(this.#numbers.next());
    this.#store.put("meta", sharedKey(name), encodeShared(shared.number));
  }

  #end(shared: SharedSubscription): void {
    shared.end();
    this.#byName.delete(shared.name);
    this.#tree.remove(shared, plainFilterOf(shared.name));
    if (!shared.isDurable) return;
    this.#store.remove("meta", sharedKey(shared.name));
    this.#numbers.release(shared.number);
  }
}
