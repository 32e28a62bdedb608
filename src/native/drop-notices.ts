/** Tells subs of one connection what was dropped of them, each at most once a second. */
import type { Due } from "../broker/due.ts";
import { after, type Clock, type Instant } from "../lib/clock.ts";
import type { Deadline, DeadlineHeap } from "../lib/deadline-heap.ts";
import type { ServerFrame } from "./frame.ts";

const INTERVAL_MS = 1_000;

interface Dropping {
  readonly id: number;
  dropped: number;
}

export class DropNotices implements Due {
  readonly #deadlines: DeadlineHeap<Due>;
  readonly #clock: Clock;
  readonly #send: (frame: ServerFrame) => void;
  readonly #dropping = new Set<Dropping>();
  #deadline: Deadline<Due> | undefined;

  constructor(deadlines: DeadlineHeap<Due>, clock: Clock, send: (frame: ServerFrame) => void) {
    this.#deadlines = deadlines;
    this.#clock = clock;
    this.#send = send;
  }

  /** Something of this sub was dropped. Hot path where a client does not keep up. */
  add(sub: Dropping): void {
    this.#dropping.add(sub);
    this.#deadline ??= this.#deadlines.add(after(this.#clock.now(), INTERVAL_MS), this);
  }

  delete(sub: Dropping): void {
    this.#dropping.delete(sub);
  }

  onDue(_now: Instant): void {
    this.#deadline = undefined;
    for (const sub of this.#dropping) {
      this.#send({ op: "dropped", sub: sub.id, count: sub.dropped });
      sub.dropped = 0;
    }
    this.#dropping.clear();
  }

  close(): void {
    this.#deadlines.cancel(this.#deadline);
    this.#deadline = undefined;
    this.#dropping.clear();
  }
}
