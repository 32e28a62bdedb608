import type { Backing } from "./backing.ts";

/** The tables are measured at most this often, and after this many bytes of changes. */
const MEASURE_MS = 250;
const MEASURE_BYTES = 1_048_576;

/**
 * What the tables `meta` and `retained` take on disk: sessions, what is owed, wills, retained messages, progress. The backing knows it
 * without reading them; what was written since it was asked counts on top, so that the sum is never too small by much.
 */
export class TableSpace {
  readonly #backing: Backing;
  #measured: number;
  #bytesSince = 0;
  #measuredAt = performance.now();

  constructor(backing: Backing) {
    this.#backing = backing;
    this.#measured = backing.tableBytes();
  }

  get bytes(): number {
    return this.#measured + this.#bytesSince;
  }

  /** A commit that changed so many bytes in them is on disk. */
  countFlushed(bytes: number): void {
    if (bytes === 0) return;
    this.#bytesSince += bytes;
    this.refresh();
  }

  /** Measures again when it is time. */
  refresh(): void {
    if (this.#bytesSince === 0) return;
    const now = performance.now();
    if (this.#bytesSince < MEASURE_BYTES && now - this.#measuredAt < MEASURE_MS) return;
    this.#measuredAt = now;
    this.#bytesSince = 0;
    this.#measured = this.#backing.tableBytes();
  }
}
