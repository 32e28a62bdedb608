/** Output of all connections together that the kernel does not have yet. */
export class OutputBudget {
  /** Bytes that wait. Counted by the links. */
  bytes = 0;
  readonly #bytesMax: number;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** True: each connection is left a small share. */
  get isFull(): boolean {
    return this.bytes >= this.#bytesMax;
  }
}
