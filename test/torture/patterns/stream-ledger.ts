/** What was appended to a stream and what a durable consumer made of it, over the deaths of the broker. */

/** Finds what is lost, doubled, out of order, or delivered again although it was settled. */
export class StreamLedger {
  readonly faults: string[] = [];
  appended = 0;
  answered = 0;
  repeated = 0;
  delivered = 0;
  readonly #sequences = new Map<string, number>();
  readonly #payloads = new Map<number, string>();
  readonly #promised = new Set<string>();
  /** Acknowledged, and answered. */
  readonly #settled = new Set<number>();
  /** An ack was sent and not answered. */
  readonly #maybeSettled = new Set<number>();

  get settled(): number {
    return this.#settled.size;
  }

  /** Records that are known and not settled. */
  get waiting(): number {
    let waiting = 0;
    for (const sequence of this.#payloads.keys()) {
      if (!this.#settled.has(sequence) && !this.#maybeSettled.has(sequence)) waiting++;
    }
    return waiting;
  }

  /** An append was answered. */
  answer(payload: string, sequence: number): void {
    if (this.#promised.has(payload)) this.repeated++;
    else this.answered++;
    this.#promised.add(payload);
    this.#see(payload, sequence);
  }

  /** A record came. `last`: the highest of this connection that came for the first time; returns what it is now. */
  arrive(payload: string, sequence: number, deliveryCount: number, last: number): number {
    this.delivered++;
    this.#see(payload, sequence);
    if (this.#settled.has(sequence)) this.#fault(`record ${sequence} came back`);
    this.#maybeSettled.delete(sequence);
    if (deliveryCount > 1) return last;
    if (sequence <= last) this.#fault(`record ${sequence} came behind ${last}`);
    return sequence;
  }

  ask(sequence: number): void {
    this.#maybeSettled.add(sequence);
  }

  settle(sequence: number): void {
    this.#maybeSettled.delete(sequence);
    this.#settled.add(sequence);
  }

  /** Compares with all that the stream holds in the end. */
  close(stored: readonly { readonly sequence: number; readonly payload: string }[]): void {
    const seen = new Set<string>();
    for (const [index, { sequence, payload }] of stored.entries()) {
      if (sequence !== index + 1) this.#fault(`record ${index + 1} has the sequence ${sequence}`);
      if (seen.has(payload)) this.#fault(`${payload} is there twice`);
      seen.add(payload);
      this.#see(payload, sequence);
      if (this.#settled.has(sequence) || this.#maybeSettled.has(sequence)) continue;
      this.#fault(`record ${sequence} was not delivered`);
    }
    for (const payload of this.#promised) {
      if (!seen.has(payload)) this.#fault(`${payload} is lost`);
    }
  }

  #see(payload: string, sequence: number): void {
    const known = this.#sequences.get(payload);
    if (known !== undefined && known !== sequence) {
      this.#fault(`${payload} has the sequences ${known} and ${sequence}`);
    }
    const other = this.#payloads.get(sequence);
    if (other !== undefined && other !== payload) {
      this.#fault(`the sequence ${sequence} has ${other} and ${payload}`);
    }
    this.#sequences.set(payload, sequence);
    this.#payloads.set(sequence, payload);
  }

  #fault(what: string): void {
    this.faults.push(what);
  }
}
