import { randomFillSync } from "node:crypto";

const TOKEN_BYTES = 16;
/** A call into the system's source of chance costs ten times as much as a token: so many are drawn at once. */
const TOKENS_DRAWN = 256;

/** Tokens that nobody can guess: 128 random bits each. */
export class RandomTokens {
  readonly #drawn = Buffer.alloc(TOKEN_BYTES * TOKENS_DRAWN);
  #next = this.#drawn.length;

  /** Letters, digits, `-` and `_`; no two are the same. */
  next(): string {
    if (this.#next === this.#drawn.length) {
      randomFillSync(this.#drawn);
      this.#next = 0;
    }
    const start = this.#next;
    this.#next += TOKEN_BYTES;
    return this.#drawn.toString("base64url", start, this.#next);
  }
}
