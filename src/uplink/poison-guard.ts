/** Topics and records refused in a row, from which on the lane is blocked. */
const TOPICS_MAX = 8;
const RECORDS_MAX = 256;

/**
 * Tells a record that the remote never takes from a remote that takes nothing. Records refused for good go to the dead
 * letters as long as others of their lane are taken; after 8 topics or 256 records in a row it is not the records any
 * more, and the lane is blocked instead of being emptied into the dead letters.
 */
export class PoisonGuard {
  readonly #topics = new Set<string>();
  #records = 0;

  /** The remote took something of the lane. Hot path: per acknowledgement. */
  onAcknowledged(): void {
    if (this.#records === 0) return;
    this.#records = 0;
    this.#topics.clear();
  }

  /** Why one more refusal for good is not believed; undefined: it is. */
  doubt(topic: string): string | undefined {
    if (this.#records >= RECORDS_MAX) return `${this.#records} records in a row were refused`;
    if (this.#topics.has(topic) || this.#topics.size < TOPICS_MAX) return undefined;
    return `records of ${this.#topics.size} topics in a row were refused`;
  }

  /** A record went to the dead letters. */
  onPutAside(topic: string): void {
    this.#records++;
    this.#topics.add(topic);
  }
}
