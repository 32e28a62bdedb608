import type { Store } from "./store.ts";

/** Bytes that may be read from the store's file in one turn of the event loop: reads that miss the page cache stall it. */
export const TURN_READ_BYTES_MAX = 1_048_576;

/** How much may still be read in this turn; what would exceed it waits for the next. */
export class ReadBudget {
  readonly #store: Store;
  #limit: number;

  constructor(store: Store) {
    this.#store = store;
    this.#limit = store.bytesRead + TURN_READ_BYTES_MAX;
  }

  /** A turn begins. */
  begin(): void {
    this.#limit = this.#store.bytesRead + TURN_READ_BYTES_MAX;
  }

  get isSpent(): boolean {
    return this.#store.bytesRead >= this.#limit;
  }
}
