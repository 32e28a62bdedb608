/**
 * The port through which a session holds a message that belongs to several takers together, of which one gets it: it settles
 * the message or gives it back, once. Behind it is a shared subscription.
 */
import type { Message } from "./message.ts";
import type { Owed } from "./owed.ts";

export interface Lease {
  /** The number under which the message is kept on disk for all takers; 0: it is in memory only. */
  readonly number: number;
  /** The message, valid until the next call; undefined: its log has lost it. */
  message(): Message | undefined;
  /**
   * This taker gets it with QoS 2: after the flush of the open group nobody else does, unless it is given back. `owed` is
   * told in which log it is. Only for what is on disk.
   */
  claim(owed: Owed): void;
  /** It is with the taker, or not to be delivered any more. */
  settle(): void;
  /** This taker can never be sent it; absent: then it is settled. */
  refuse?(): void;
  /** The taker is gone without it: somebody else gets it. */
  giveBack(): void;
}
