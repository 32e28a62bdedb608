/** What all parts of a simulated world share: the node, chance, names of messages, and whether there are faults just now. */
import type { SeededRandom } from "../../src/lib/random.ts";
import { VirtualNode, type VirtualNodeOptions } from "../support/virtual-node.ts";

/** One thing that may happen, and how often beside the others. */
export type Step = readonly [weight: number, name: string, act: () => void];

export class Stage {
  readonly random: SeededRandom;
  readonly node: VirtualNode;
  /** False while everything goes well: at the beginning and at the end. */
  hasFaults = false;
  #number = 0;
  #order = 0;

  constructor(random: SeededRandom, options: VirtualNodeOptions) {
    this.random = random;
    this.node = new VirtualNode(options);
  }

  get now(): number {
    return this.node.now;
  }

  /** A payload that no other message has; later ones have larger numbers (`numberOf`). */
  payload(kind: string): string {
    return `${kind}${this.#number++}`;
  }

  /** Puts what happens on different connections in order. */
  nextOrder(): number {
    return ++this.#order;
  }

  chance(share: number): boolean {
    return this.random.next() < share;
  }

  /** A whole number from 0, below `end`. */
  below(end: number): number {
    return Math.floor(this.random.next() * end);
  }

  /** Undefined only when there is nothing to pick from. */
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}

/** The number in a payload, whatever it is padded with. */
export const numberOf = (payload: string): number => Number(/\d+/.exec(payload)?.[0]);

/** Payloads have bytes of any value, which JSON cannot have as text: so they are read byte by byte. */
export const payloadText = (payload: unknown): string =>
  payload === undefined ? "" : Buffer.from(payload as Uint8Array).toString("latin1");

export const payloadBytes = (payload: string): Buffer => Buffer.from(payload, "latin1");
