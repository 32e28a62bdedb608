/** Native clients of a simulated world: who is connected by which lines, what happens to these, and all that they do for a living. */
import assert from "node:assert/strict";
import { judge, NativeLine } from "./native-line.ts";
import type { Stage, Step } from "./stage.ts";
import type { Work } from "./work.ts";

const CLIENTS = 5;

export class NativePart {
  readonly steps: readonly Step[];
  /** Lines that ended, for the report. */
  cuts = 0;
  readonly #stage: Stage;
  readonly #works: readonly Work[];
  readonly #others: () => void;
  /** The line that each client uses. */
  readonly #current: (NativeLine | undefined)[] = Array.from({ length: CLIENTS }, () => undefined);
  /** Those, and the ones that clients have forgotten and the broker has not. */
  readonly #all = new Set<NativeLine>();

  /** `others`: judges what was written to other clients. */
  constructor(stage: Stage, works: readonly Work[], others: () => void) {
    this.#stage = stage;
    this.#works = works;
    this.#others = others;
    this.steps = [
      [40, "native-network", () => this.network(1 + stage.below(5))],
      [1.5, "native-break", () => this.#break()],
      [4, "native-dial", () => this.dialAll()],
      [2, "native-ping", () => this.#ping()],
      ...this.#works.flatMap((work) => work.steps),
    ];
  }

  /** Those that clients use. */
  get lines(): readonly NativeLine[] {
    return this.#current.filter((line): line is NativeLine => line?.isOver === false);
  }

  /** Nothing is in transit, and nobody waits for an answer. */
  get isQuiet(): boolean {
    return this.lines.length === CLIENTS && [...this.#all].every((line) => line.isQuiet);
  }

  /** Whoever has no connection gets one. */
  dialAll(): void {
    for (let i = 0; i < CLIENTS; i++) {
      if (this.#current[i] === undefined || this.#current[i]?.isOver) this.#dial(i);
    }
  }

  network(count: number): void {
    const { hasFaults } = this.#stage;
    const all = [...this.#all];
    const lines = hasFaults ? all.filter(() => this.#stage.chance(0.4)) : all;
    for (const line of lines) {
      if (line === undefined) continue;
      if (!hasFaults || this.#stage.chance(0.7)) {
        for (let i = 0; i < count && line.isSending; i++) {
          line.out();
          this.judge();
        }
      }
      if (!hasFaults || this.#stage.chance(0.5)) line.in(count);
      this.judge();
    }
  }

  /** Everything that was written since the last call is held against what was promised. */
  judge(): void {
    judge(this.#all);
    this.#others();
    for (const line of this.#all) {
      if (line.isOver) this.#all.delete(line);
      else line.checkTimes();
    }
    for (const work of this.#works) work.onJudged();
  }

  crashed(): void {
    for (const line of this.#all) line.crashed();
    this.#all.clear();
    for (const work of this.#works) work.onCrash();
  }

  drain(): void {
    for (const line of this.#all) if (line.isAbandoned) line.lose();
    this.dialAll();
    this.network(50);
    for (const work of this.#works) work.drain();
  }

  check(): void {
    for (const work of this.#works) work.check();
  }

  #dial(index: number): void {
    const line = new NativeLine(this.#stage, `n${index}`);
    this.#current[index] = line;
    this.#all.add(line);
    for (const work of this.#works) work.onDial(line, index);
  }

  #break(): void {
    const stage = this.#stage;
    const index = stage.below(CLIENTS);
    const line = this.#current[index];
    if (line === undefined || line.isOver) return;
    this.cuts++;
    if (stage.chance(0.5)) line.lose();
    else {
      // The broker is not told: it finds out by a ping without answer, or because the client comes again.
      line.isAbandoned = true;
      if (stage.chance(0.7)) this.#dial(index);
      else this.#current[index] = undefined;
    }
  }

  #ping(): void {
    const line = this.#stage.pick(this.lines);
    line?.ask({ op: "ping" }, { withinMs: 0, answered: ({ op }) => assert.equal(op, "pong") });
  }
}
