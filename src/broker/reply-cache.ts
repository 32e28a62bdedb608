/**
 * Replies that are kept for a while under a key that their requester gave, so that the same request need not be made again. A reply
 * is only for the user who asked for it: under a key that somebody else chose there may be anything. Bounded in bytes; when it is full, what
 * was not asked for the longest goes first.
 */
import { after, type Clock, type Instant } from "../lib/clock.ts";
import type { Principal } from "./authenticator.ts";
import { copyMessage, type Message, propertyBytes } from "./message.ts";

/** What the objects around a reply take, about. */
const ENTRY_BYTES = 512;
/** A reply larger than this share of the cache is not kept. */
const SHARE_MAX = 1 / 8;

/** What a cached reply is known by. */
export interface ReplyKey {
  readonly principal: Principal;
  readonly topic: string;
  readonly key: string;
}

interface Entry {
  readonly reply: Message;
  readonly bytes: number;
  readonly until: Instant;
}

export class ReplyCache {
  readonly #clock: Clock;
  readonly #bytesMax: number;
  /** What was asked for last is last. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  /** `bytesMax`: of all replies together; 0: nothing is kept. */
  constructor(clock: Clock, bytesMax: number) {
    this.#clock = clock;
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The reply under this key; it belongs to the cache. */
  find(key: ReplyKey): Message | undefined {
    const name = nameOf(key);
    const entry = this.#entries.get(name);
    if (entry === undefined) return undefined;
    this.#remove(name, entry);
    if (entry.until <= this.#clock.now()) return undefined;
    this.#add(name, entry);
    return entry.reply;
  }

  /** Keeps a copy of a reply for so long. */
  keep(key: ReplyKey, reply: Message, ttlMs: number): void {
    const name = nameOf(key);
    const known = this.#entries.get(name);
    if (known !== undefined) this.#remove(name, known);
    const payloadBytes = reply.payloadEnd - reply.payloadStart;
    // Characters of the name have two bytes at most, and it is there once as key of the map.
    const bytes = payloadBytes + propertyBytes(reply.properties) + name.length * 2 + ENTRY_BYTES;
    if (bytes > this.#bytesMax * SHARE_MAX) return;
    this.#add(name, { reply: copyMessage(reply), bytes, until: after(this.#clock.now(), ttlMs) });
    for (const [oldest, entry] of this.#entries) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#remove(oldest, entry);
    }
  }

  #add(name: string, entry: Entry): void {
    this.#entries.set(name, entry);
    this.#bytes += entry.bytes;
  }

  #remove(name: string, entry: Entry): void {
    this.#entries.delete(name);
    this.#bytes -= entry.bytes;
  }
}

const nameOf = ({ principal, topic, key }: ReplyKey): string =>
  JSON.stringify([principal ?? null, topic, key]);
