/**
 * Publishers wait for subscribers that fall behind: whose backlog is half full although they are connected and read. Without that a
 * burst that came in faster than a subscriber's window lets it out would end its session, or make a durable one drop what is oldest.
 * They wait only while it catches up at a pace that ends within seconds; who does not is not waited for again before its backlog is
 * nearly empty, so that one that does not read, or hardly, holds nobody up.
 */
import { after, type Instant } from "../lib/clock.ts";
import type { Deadline, DeadlineHeap } from "../lib/deadline-heap.ts";
import type { Due } from "./due.ts";
import type { TreeSubscriber } from "./shared-subscriptions.ts";
import type { RouteTarget } from "./subscription-tree.ts";

/** How often it is looked at how far a subscriber is. */
const LOOK_MS = 200;
/** By how much of its bound its backlog must have shrunk from one look to the next. */
const PROGRESS = 0.02;

/** A subscriber's deliveries, as far as publishers wait for them. */
export interface Congested {
  /** How much of its bound the backlog takes, 0..1. */
  readonly backlogFill: number;
  /** Publishers are not held for it any more; they were for long enough. */
  stopWaitingFor(): void;
}

/** Subscribers that publishers wait for. */
export class Congestion implements Due {
  readonly #deadlines: DeadlineHeap<Due>;
  /** When to look at each, in this order, and how full its backlog was at the last look. */
  readonly #looks = new Map<Congested, { readonly at: Instant; readonly fill: number }>();
  #deadline: Deadline<Due> | undefined;
  #isRelieved = false;

  constructor(deadlines: DeadlineHeap<Due>) {
    this.#deadlines = deadlines;
  }

  /** Its backlog is half full. */
  enter(congested: Congested, now: Instant): void {
    this.#look(congested, now);
    this.#schedule();
  }

  /** It has caught up, or is gone. */
  leave(congested: Congested): void {
    if (this.#looks.delete(congested)) this.#isRelieved = true;
  }

  /** A message for these subscribers is to wait. Hot path: per message with QoS 1 or 2. */
  holds(
    route: readonly RouteTarget<TreeSubscriber>[],
    publisher: TreeSubscriber | undefined,
  ): boolean {
    if (this.#looks.size === 0) return false;
    for (const { qos, ownQos, subscriber } of route) {
      const granted = subscriber === publisher ? ownQos : qos;
      if (granted <= 0 || subscriber.kind !== "session") continue;
      if (this.#looks.has(subscriber.outbound)) return true;
    }
    return false;
  }

  /** True once when those who wait may try again. */
  takeRelief(): boolean {
    const isRelieved = this.#isRelieved;
    this.#isRelieved = false;
    return isRelieved;
  }

  onDue(now: Instant): void {
    this.#deadline = undefined;
    for (const [congested, { at, fill }] of [...this.#looks]) {
      if (at > now) break;
      this.#looks.delete(congested);
      if (fill - congested.backlogFill >= PROGRESS) {
        this.#look(congested, now);
      } else {
        this.#isRelieved = true;
        congested.stopWaitingFor();
      }
    }
    this.#schedule();
  }

  #look(congested: Congested, now: Instant): void {
    this.#looks.set(congested, { at: after(now, LOOK_MS), fill: congested.backlogFill });
  }

  #schedule(): void {
    if (this.#deadline !== undefined) return;
    const [next] = this.#looks.values();
    if (next !== undefined) this.#deadline = this.#deadlines.add(next.at, this);
  }
}
