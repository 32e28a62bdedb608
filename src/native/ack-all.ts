import type { Due } from "../broker/due.ts";
import type { Queue } from "../broker/queue.ts";
import { NO_COMMIT, type Sequence } from "../broker/store.ts";
import { after } from "../lib/clock.ts";
import type { Deadline } from "../lib/deadline-heap.ts";
import type { Caller } from "./caller.ts";
import { mayRead } from "./rights.ts";
import type { Wait } from "./waits.ts";

/** Between steps: others are served meanwhile. */
const STEP_MS = 1;

/**
 * One `queue.ackAll`: settles what waited for a receiver when it began, a step per turn, and answers when all of it is on disk. When its
 * connection ends it stops where it is.
 */
export class AckAll implements Wait, Due {
  readonly #caller: Caller;
  readonly #id: number;
  readonly #queue: Queue;
  readonly #end: Sequence;
  #count = 0;
  #commit = NO_COMMIT;
  #deadline: Deadline<Due> | undefined;

  constructor(caller: Caller, id: number, queue: Queue) {
    this.#caller = caller;
    this.#id = id;
    this.#queue = queue;
    this.#end = queue.deliveries.end;
  }

  /** Does the first step; call it once. */
  start(): void {
    this.#caller.waits.add(this);
    this.onDue();
  }

  onDue(): void {
    this.#deadline = undefined;
    const { broker } = this.#caller;
    if (this.#queue.isDeleted) {
      this.close();
      this.#caller.refuse(this.#id, "not-found", "the queue was deleted");
      return;
    }
    const { count, commit, isDone } = this.#queue.deliveries.ackWaiting(this.#end);
    this.#count += count;
    if (count > 0) this.#commit = commit;
    if (!isDone) {
      this.#deadline = broker.deadlines.add(after(broker.clock.now(), STEP_MS), this);
      return;
    }
    this.close();
    this.#caller.answer(this.#id, this.#commit, { count: this.#count });
  }

  recheck(): void {
    if (mayRead(this.#caller, "queue", this.#queue.name)) return;
    this.close();
    this.#caller.refuse(this.#id, "not-authorized", "the rules do not allow it any more");
  }

  close(): void {
    const { broker, waits } = this.#caller;
    broker.deadlines.cancel(this.#deadline);
    this.#deadline = undefined;
    waits.delete(this);
  }
}
