/** The order in which a queue hands out its messages for the first time, and that nothing that is free is passed over. */
import assert from "node:assert/strict";

interface Placed {
  readonly sequence: number;
  /** When it became free again; undefined: it is in hands. */
  freeSince: number | undefined;
}

export class QueueOrder {
  readonly #deliveriesMax: number;
  readonly #mayHaveExpired: (payload: string) => boolean;
  readonly #placed = new Map<string, Placed>();
  /** How often messages were handed out, whatever a crash has forgotten of it. */
  readonly #handouts = new Map<string, number>();
  /** The last that came for the first time, and the last of those that came since the last look. */
  #last = 0;
  #newest = 0;
  #look = 0;

  /** What was handed out so often, or whose time may be over, need not come again. */
  constructor(deliveriesMax: number, mayHaveExpired: (payload: string) => boolean) {
    this.#deliveriesMax = deliveriesMax;
    this.#mayHaveExpired = mayHaveExpired;
  }

  /** `sequence` and `isFirst`: as the device was told; a device that speaks 3.1.1 is not. */
  handedOut(payload: string, sequence: string | undefined, isFirst: boolean): void {
    this.#handouts.set(payload, (this.#handouts.get(payload) ?? 0) + 1);
    const placed = this.#placed.get(payload);
    if (placed !== undefined) {
      placed.freeSince = undefined;
      return;
    }
    if (sequence === undefined) return;
    const number = Number(sequence);
    if (isFirst) {
      assert.ok(number > this.#last, `${payload}, number ${number}, came behind ${this.#last}`);
      this.#newest = Math.max(this.#newest, number);
    }
    this.#placed.set(payload, { sequence: number, freeSince: undefined });
  }

  isExhausted(payload: string): boolean {
    return (this.#handouts.get(payload) ?? 0) >= this.#deliveriesMax;
  }

  freed(payload: string): void {
    const placed = this.#placed.get(payload);
    if (placed !== undefined) placed.freeSince = this.#look;
  }

  settled(payload: string): void {
    this.#placed.delete(payload);
  }

  /** All that was written since the last look has been told, in any order. */
  judge(): void {
    if (this.#newest > this.#last) {
      for (const [payload, { sequence, freeSince }] of this.#placed) {
        const wasFree = freeSince !== undefined && freeSince < this.#look;
        if (!wasFree || sequence > this.#newest) continue;
        const isLeft = this.isExhausted(payload) || this.#mayHaveExpired(payload);
        assert.ok(isLeft, `${payload} is free, and ${this.#newest} behind it was handed out`);
      }
      this.#last = this.#newest;
    }
    this.#look++;
  }

  /** A crash has forgotten what was handed out. */
  forget(): void {
    this.#placed.clear();
    this.#last = 0;
    this.#newest = 0;
  }
}
