import type { Lease } from "./lease.ts";
import type { Message } from "./message.ts";
import type { Owed } from "./owed.ts";
import type { SharedSubscription } from "./shared-subscription.ts";

/** A message of a shared subscription, while one member has it or after that member gave it back. */
export class SharedLease implements Lease {
  /** How it was published. */
  readonly owed: Owed;
  /** The message, when it is in memory only. */
  readonly kept: Message | undefined;
  /** Somebody was to get it with QoS 2, and that is (or is about to be) on disk. */
  isClaimed = false;
  readonly #shared: SharedSubscription;

  constructor(shared: SharedSubscription, owed: Owed, kept: Message | undefined) {
    this.#shared = shared;
    this.owed = owed;
    this.kept = kept;
  }

  get number(): number {
    return this.kept === undefined ? this.#shared.number : 0;
  }

  message(): Message | undefined {
    return this.kept ?? this.#shared.recordOf(this.owed);
  }

  claim(owed: Owed): void {
    owed.log = this.owed.log;
    owed.sequence = this.owed.sequence;
    owed.ordinal = this.owed.ordinal;
    this.#shared.claim(this);
  }

  settle(): void {
    this.#shared.settle(this);
  }

  giveBack(): void {
    this.#shared.giveBack(this);
  }
}
