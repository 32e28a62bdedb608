import { after, type Instant } from "../lib/clock.ts";
import type { DeliveriesContext, GiveUpReason } from "./deliveries-context.ts";
import type { Entry } from "./delivery-entry.ts";
import type { DeliveryStates } from "./delivery-states.ts";
import type { LogWindow } from "./log-window.ts";
import { isExpired } from "./message.ts";
import type { LogRecord } from "./store.ts";

/** How often those that are held are tried again, and how many of them in one turn. */
const HELD_RETRY_MS = 1_000;
const HELD_RECORDS = 256;
/** When there was room for some of them. */
const STEP_MS = 1;

/** Which records nobody gets any more, and what becomes of them: settled, or held where there is no room to keep them. */
export class GivenUpRecords {
  readonly #context: DeliveriesContext;
  readonly #states: DeliveryStates;
  readonly #window: LogWindow;
  #heldAt: Instant | undefined;

  constructor(context: DeliveriesContext, states: DeliveryStates, window: LogWindow) {
    this.#context = context;
    this.#states = states;
    this.#window = window;
  }

  /** When those held are to be tried again; undefined: there are none. */
  get heldAt(): Instant | undefined {
    return this.#heldAt;
  }

  /** A record that is handed out next, or looked at; undefined: damaged or gone. */
  recordAt(sequence: number): LogRecord | undefined {
    return this.#window.read(sequence, sequence >= this.#states.next - 1);
  }

  /** Undefined: it may be handed out, if it is meant at all. Hot path: per delivery. */
  reasonFor(sequence: number, record: LogRecord | undefined): GiveUpReason | undefined {
    if (record === undefined) return "lost";
    const { isMeant, clock } = this.#context;
    if (isExpired(record, clock)) return isMeant?.(record) === false ? undefined : "expired";
    // It was in hands for the last time when the last run ended.
    const entry = this.#states.find(sequence);
    return entry !== undefined && this.isExhausted(entry, record) ? "deliveries" : undefined;
  }

  /** It was handed out as often as it may be. */
  isExhausted(entry: Entry, record: LogRecord | undefined): boolean {
    const max = record === undefined ? 0 : this.#context.deliveriesMaxOf(record);
    return max > 0 && entry.count >= max;
  }

  giveUp(sequence: number, record: LogRecord | undefined, reason: GiveUpReason): void {
    if (!this.#context.onGivenUp(record, reason)) {
      this.#hold(this.#states.entryOf(sequence));
      return;
    }
    this.#states.settle(sequence);
    this.#states.advanceFloor();
  }

  /** Nothing of it goes to disk: after a restart it is found again in its place. */
  #hold(entry: Entry): void {
    this.#states.held.add(entry);
    this.#context.onHeld();
    if (this.#heldAt !== undefined) return;
    this.#heldAt = after(this.#context.clock.now(), HELD_RETRY_MS);
    this.#context.schedule(this.#heldAt);
  }

  /** Time: tries those that have waited for longest; who is refused again goes to the end. */
  onDue(now: Instant): void {
    if (this.#heldAt === undefined || this.#heldAt > now) return;
    const { held } = this.#states;
    let left = Math.min(HELD_RECORDS, held.size);
    let hasRoom = false;
    for (const entry of held) {
      if (left-- === 0) break;
      held.delete(entry);
      const record = this.recordAt(entry.sequence);
      const reason = this.reasonFor(entry.sequence, record);
      if (reason !== undefined && !this.#context.onGivenUp(record, reason)) {
        held.add(entry);
        continue;
      }
      hasRoom = true;
      // Settings have changed: it may be handed out once more.
      if (reason === undefined) this.#states.free(entry);
      else this.#states.settle(entry.sequence);
    }
    this.#states.advanceFloor();
    this.#heldAt = held.size === 0 ? undefined : after(now, hasRoom ? STEP_MS : HELD_RETRY_MS);
  }

  /** There are none any more. */
  clear(): void {
    this.#heldAt = undefined;
  }
}
