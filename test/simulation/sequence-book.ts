import assert from "node:assert/strict";

/** What a sequence of a stream is: it never changes once somebody has seen it. */
export class SequenceBook {
  readonly #payloads = new Map<number, string>();
  /** Payloads without what they are padded with. */
  readonly #names = new Map<number, string>();

  note(sequence: number, payload: string): void {
    const known = this.#payloads.get(sequence) ?? payload;
    assert.equal(payload, known, `sequence ${sequence} was something else before`);
    this.#payloads.set(sequence, payload);
    this.noteName(sequence, payload);
  }

  /** The same for those who do not see the bytes of a payload. */
  noteName(sequence: number, payload: string): void {
    const name = nameOf(payload);
    const known = this.#names.get(sequence) ?? name;
    assert.equal(name, known, `sequence ${sequence} was something else before`);
    this.#names.set(sequence, name);
  }

  /** Whether this is there, as far as can be told by its name. */
  isAt(sequence: number, payload: string): boolean {
    return this.#names.get(sequence) === nameOf(payload);
  }

  /** Where a payload is, the last of them first. */
  sequencesOf(payload: string): number[] {
    const found = [...this.#names].filter(([, name]) => name === nameOf(payload));
    return found.map(([sequence]) => sequence).sort((a, b) => b - a);
  }

  /** How often each payload is there. */
  counts(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const one of this.#payloads.values()) counts.set(one, (counts.get(one) ?? 0) + 1);
    return counts;
  }
}

const nameOf = (payload: string): string => /^\w\d+/.exec(payload)?.[0] ?? payload;
