/** What deliveries.ts knows of one record that was handed out before, and in whose hands it is. */
import type { Deadline } from "../lib/deadline-heap.ts";
import type { Receiver } from "./delivery-receiver.ts";

export interface Entry {
  readonly sequence: number;
  count: number;
  /** In whose hands; undefined: nobody's (any more). */
  receiver: Receiver | undefined;
  hidden: Deadline<Entry> | undefined;
  /** While it is hidden: until when, in the log's time, and for how long that was to be. Time spent off makes it shorter. */
  until: number;
  forMs: number;
  /** While it is free again: its place among those, in order of sequence. */
  again: Deadline<Entry> | undefined;
  /** While it is in hands: which, and what is beside it there. */
  hands: Hands | undefined;
  left: Entry | undefined;
  right: Entry | undefined;
}

export const entryOf = (sequence: number, count: number): Entry => ({
  sequence,
  count,
  receiver: undefined,
  hidden: undefined,
  until: 0,
  forMs: 0,
  again: undefined,
  hands: undefined,
  left: undefined,
  right: undefined,
});

/** All that one owner has in hands, as a list through the entries: whoever goes gives back what it has, and nothing else is looked at. */
export class Hands {
  /** Taken last. */
  first: Entry | undefined;

  /** Hot path: per delivery. */
  take(entry: Entry): void {
    entry.hands = this;
    entry.left = undefined;
    entry.right = this.first;
    if (this.first !== undefined) this.first.left = entry;
    this.first = entry;
  }

  /** Out of whatever hands it is in. Hot path: per delivery. */
  static drop(entry: Entry): void {
    const { hands, left, right } = entry;
    if (hands === undefined) return;
    if (left === undefined) hands.first = right;
    else left.right = right;
    if (right !== undefined) right.left = left;
    entry.hands = undefined;
    entry.left = undefined;
    entry.right = undefined;
  }
}
