/**
 * After the rules changed: while a session may be owed messages from before, each is asked about before it is delivered.
 */
import type { Message } from "./message.ts";
import { type CommitNumber, NO_COMMIT } from "./store.ts";
import type { Topic } from "./topic.ts";

/** Whether a session's deliveries are looked at again, and what the rules say now. */
export class Recheck {
  #mayReceive: ((topic: Topic) => boolean) | undefined;
  /** The last commit with messages owed under other rules. */
  until: CommitNumber = NO_COMMIT;

  get isUnderWay(): boolean {
    return this.#mayReceive !== undefined;
  }

  /** What is owed up to and including `until` is delivered only where `mayReceive` says so; undefined: always. */
  start(mayReceive: ((topic: Topic) => boolean) | undefined, until: CommitNumber): void {
    this.#mayReceive = mayReceive;
    this.until = until;
  }

  /** Nothing from before is left. */
  stop(): void {
    this.#mayReceive = undefined;
  }

  /** Hot path: per message of a session with a window. */
  isDenied(message: Message): boolean {
    return this.#mayReceive?.(message.topic) === false;
  }
}
