/** A kind of work that native clients do in a simulated world. */
import type { NativeLine } from "./native-line.ts";
import type { Step } from "./stage.ts";

export interface Work {
  readonly steps: readonly Step[];
  /** A client has dialled: it asks for what is to be delivered to it. `index`: which of the clients it is. */
  onDial(line: NativeLine, index: number): void;
  /** The broker's process is gone, and all connections with it. */
  onCrash(): void;
  /** After each step, when all that was written is judged. */
  onJudged(): void;
  /** The faults are over: whatever is open is done. */
  drain(): void;
  /** Everything has come to its end. */
  check(): void;
}

/** What a client has taken of a sub, and gives back as credit when it likes. */
export class Credit {
  readonly #line: NativeLine;
  readonly #sub: number;
  readonly #arrived: ((add: number) => void) | undefined;
  #taken = 0;

  /** `arrived`: the broker has been given so much more. */
  constructor(line: NativeLine, sub: number, arrived?: (add: number) => void) {
    this.#line = line;
    this.#sub = sub;
    this.#arrived = arrived;
  }

  take(count: number): void {
    this.#taken += count;
    if (!this.#line.stage.hasFaults || this.#line.stage.chance(0.6)) this.give();
  }

  give(): void {
    const add = this.#taken;
    if (add === 0 || this.#line.isOver) return;
    this.#taken = 0;
    this.#line.note({ op: "credit", sub: this.#sub, add }, () => this.#arrived?.(add));
  }
}
