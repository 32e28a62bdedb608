/** How often what was asked, and what was answered; for metrics. Outlives connections and brokers. */
import type { ClientOp, ErrorCode } from "./frame.ts";

/** `invalid`: it was no frame that could be understood. */
export type CountedOp = ClientOp | "invalid";
export type CountedCode = ErrorCode | "ok";

/** Bounded: there are so many ops and codes. */
export class RequestCounts {
  readonly #counts = new Map<CountedOp, Map<CountedCode, number>>();

  /** Hot path: per frame. */
  count(op: CountedOp, code: CountedCode): void {
    let ofOp = this.#counts.get(op);
    if (ofOp === undefined) {
      ofOp = new Map();
      this.#counts.set(op, ofOp);
    }
    ofOp.set(code, (ofOp.get(code) ?? 0) + 1);
  }

  *all(): Iterable<readonly [op: CountedOp, code: CountedCode, count: number]> {
    for (const [op, ofOp] of this.#counts) {
      for (const [code, count] of ofOp) yield [op, code, count];
    }
  }
}
