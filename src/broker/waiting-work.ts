/** What waits: for the end of the turn, for the next turn, for the next flush, or for room. */
import type { Clock } from "../lib/clock.ts";
import type { DeadlineHeap } from "../lib/deadline-heap.ts";
import type { BrokerOptions } from "./broker-options.ts";
import { Congestion } from "./congestion.ts";
import type { Counters } from "./counters.ts";
import type { Due } from "./due.ts";
import type { Outbound } from "./outbound.ts";
import { type OutboundEvents, outboundEventsOf } from "./outbound-events.ts";
import { ReadBudget } from "./read-budget.ts";
import type { Session } from "./session.ts";
import type { Store } from "./store.ts";

/** The broker calls it at the ends of turns, around commits, and when there may be room again. */
export class WaitingWork {
  /** Told by all sessions' deliveries, and those of shared subscriptions. */
  readonly events: OutboundEvents;
  readonly congestion: Congestion;
  readonly #store: Store;
  readonly #readBudget: ReadBudget;
  /** Sessions with room or work for the end of the turn. */
  readonly #dirty = new Set<Session>();
  /** Publishers held back until there is room. */
  #held = new Set<() => void>();
  /** Sessions' deliveries of which the next group carries how far they came. */
  #marked: Outbound[] = [];
  /** Sessions' deliveries whose QoS 2 packet identifiers wait for a flush of their own. */
  #waiting = new Set<Outbound>();
  /** What stopped because enough was read in this turn. */
  #cut = new Set<{ pump(): void }>();

  constructor(options: BrokerOptions, deadlines: DeadlineHeap<Due>, counters: Counters) {
    const { store, clock } = options;
    this.#store = store;
    this.#readBudget = new ReadBudget(store);
    this.congestion = new Congestion(deadlines);
    this.events = this.#eventsOf(options, clock, counters);
  }

  #eventsOf(
    { onBacklogDropped, onTurnCut }: BrokerOptions,
    clock: Clock,
    counters: Counters,
  ): OutboundEvents {
    return outboundEventsOf(
      clock,
      counters,
      (outbound) => {
        this.#waiting.add(outbound);
      },
      onBacklogDropped,
      {
        mayRead: () => !this.#readBudget.isSpent,
        onCut: (pumped) => {
          this.#cut.add(pumped);
          onTurnCut();
        },
        onCongested: (outbound) => this.congestion.enter(outbound, clock.now()),
        onRelieved: (outbound) => this.congestion.leave(outbound),
        onMarked: (outbound) => {
          this.#marked.push(outbound);
        },
      },
    );
  }

  /** The session is served at the end of the turn. Hot path: per packet. */
  touch(session: Session): void {
    this.#dirty.add(session);
  }

  /** As much may be read from the store's file again as a turn may. */
  beginTurn(): void {
    this.#readBudget.begin();
  }

  /** Serves what the turn before had to leave, and the sessions that were touched. */
  pump(): void {
    if (this.#cut.size > 0) {
      const cut = this.#cut;
      this.#cut = new Set();
      for (const one of cut) one.pump();
    }
    if (this.#dirty.size > 0) {
      for (const session of this.#dirty) session.outbound.pump();
      this.#dirty.clear();
    }
  }

  /** The open group is being sealed. */
  seal(): void {
    const marked = this.#marked;
    this.#marked = [];
    for (const outbound of marked) outbound.sealMarked();
  }

  /** A group is on disk. */
  flushed(): void {
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const outbound of waiting) outbound.pump();
  }

  /** Calls back once when a held publish may be tried again. */
  hold(callback: () => void): void {
    this.#held.add(callback);
  }

  forgetHeld(callback: () => void): void {
    this.#held.delete(callback);
  }

  /** Those who are held try again, if the store has room. */
  resumeHeld(): void {
    if (this.#held.size === 0 || this.#store.refusal() !== undefined) return;
    const held = this.#held;
    this.#held = new Set();
    for (const callback of held) callback();
  }
}
