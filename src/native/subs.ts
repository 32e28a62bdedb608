/** What is delivered to one connection as it comes, each within the credit that the client gave it. */
import type { Counters } from "../broker/counters.ts";
import type { ErrorCode, ServerFrame } from "./frame.ts";
import { isRetryable, Refusal } from "./refusal.ts";

/** One of them: of events, of a stream, of a queue, of requests. */
export interface Sub {
  readonly id: number;
  /** How many more may be delivered. */
  credit: number;
  /** There is more credit or room. */
  pump(): void;
  /** False: the rules do not allow it any more. */
  isAllowed(): boolean;
  /** It is over: whatever it has is let go. */
  close(): void;
}

export class Subs {
  readonly #send: (frame: ServerFrame) => void;
  readonly #subsMax: number;
  readonly #creditMax: number;
  readonly #counters: Counters;
  readonly #subs = new Map<number, Sub>();
  #lastId = 0;

  constructor(
    send: (frame: ServerFrame) => void,
    limits: { readonly subsMax: number; readonly creditMax: number },
    counters: Counters,
  ) {
    this.#counters = counters;
    this.#send = send;
    this.#subsMax = limits.subsMax;
    this.#creditMax = limits.creditMax;
  }

  get size(): number {
    return this.#subs.size;
  }

  all(): IterableIterator<Sub> {
    return this.#subs.values();
  }

  get(id: number): Sub | undefined {
    return this.#subs.get(id);
  }

  /**
   * A number for one more; never the same twice.
   * @throws Refusal when there are too many
   */
  nextId(): number {
    if (this.#subs.size >= this.#subsMax) {
      this.#counters.limitSubs++;
      throw new Refusal("limit-exceeded", `more than ${this.#subsMax} subs`);
    }
    return ++this.#lastId;
  }

  /** Within what one sub may have. */
  creditOf(credit: number): number {
    return Math.min(credit, this.#creditMax);
  }

  add(sub: Sub): void {
    this.#subs.set(sub.id, sub);
  }

  /** More credit; nothing for one that is over, whose end the client may not know yet. */
  addCredit(id: number, add: number): void {
    const sub = this.#subs.get(id);
    if (sub === undefined) return;
    sub.credit = this.creditOf(sub.credit + add);
    sub.pump();
  }

  /** The client ends it; false: there is none. */
  remove(id: number): boolean {
    const sub = this.#subs.get(id);
    if (sub === undefined) return false;
    this.#subs.delete(id);
    sub.close();
    return true;
  }

  /** The broker ends it and says why. */
  end(id: number, code: ErrorCode, text: string): void {
    if (this.remove(id)) this.#send({ op: "ended", sub: id, code, text, retry: isRetryable(code) });
  }

  pump(): void {
    for (const sub of this.#subs.values()) sub.pump();
  }

  /** Ends those that the rules do not allow any more. */
  onRulesChanged(): void {
    for (const sub of [...this.#subs.values()]) {
      if (!sub.isAllowed())
        this.end(sub.id, "not-authorized", "the rules do not allow it any more");
    }
  }

  /** The connection is gone. */
  close(): void {
    const subs = [...this.#subs.values()];
    this.#subs.clear();
    for (const sub of subs) sub.close();
  }
}
