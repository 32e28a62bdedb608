/**
 * Identifiers of messages that one stream or queue took lately, so that one that is sent again is not taken again. Bounded in time here, in
 * memory together with all others (duplicate-windows.ts), which also keeps on disk what would otherwise be forgotten at a restart.
 *
 *     copied    on disk apart from the records that they name, or not at all any more; the oldest
 *     own       of streams: on disk as long as their records are
 */
import type { Instant } from "../lib/clock.ts";
import { RingBuffer } from "../lib/ring-buffer.ts";
import type { CommitNumber, LogId, Sequence } from "./store.ts";

/** What an identifier takes in memory beside its text, about. */
export const ENTRY_BYTES = 160;

/** A message taken before. */
export interface KnownMessage {
  readonly messageId: string;
  /** 0: it was delayed. */
  readonly sequence: Sequence;
  /** Its commit; what answers a repeat waits for it too. */
  readonly commit: CommitNumber;
  readonly at: Instant;
}

/** Whose window it is: a queue by its number, a stream by its log. */
export type WindowOwner =
  | { readonly kind: "queue"; readonly number: number }
  | { readonly kind: "stream"; readonly number: LogId };

/** What a window needs of all of them. */
export interface WindowContext {
  /** It takes so many bytes more, or less; it may be told to drop some before this returns. */
  onGrown(bytes: number): void;
  /** Puts identifiers on disk, with the open group. */
  keep(owner: WindowOwner, known: KnownMessage): void;
  keepAll(owner: WindowOwner, known: readonly KnownMessage[]): void;
}

export class DuplicateWindow {
  /** 0: nothing is remembered. */
  windowMs: number;
  readonly owner: WindowOwner;
  /** What it takes in memory, about. */
  bytes = 0;
  readonly #context: WindowContext;
  readonly #known = new Map<string, KnownMessage>();
  readonly #copied = new RingBuffer<KnownMessage>();
  readonly #own = new RingBuffer<KnownMessage>();

  constructor(context: WindowContext, owner: WindowOwner, windowMs: number) {
    this.#context = context;
    this.owner = owner;
    this.windowMs = windowMs;
  }

  get size(): number {
    return this.#copied.size + this.#own.size;
  }

  /** The message with this identifier, if it was taken within the window. Hot path: per message with an identifier. */
  find(messageId: string, now: Instant): KnownMessage | undefined {
    const known = this.#known.get(messageId);
    return known !== undefined && now - known.at < this.windowMs ? known : undefined;
  }

  /** A message is taken, with the open group. Hot path: per message with an identifier. */
  remember(known: KnownMessage): void {
    if (this.windowMs === 0) return;
    const isOfQueue = this.owner.kind === "queue";
    if (isOfQueue) this.#context.keep(this.owner, known);
    this.#add(known, isOfQueue ? this.#copied : this.#own);
  }

  /** After a restart: the next one in order, which is on disk apart from its record (`isCopied`) or with it. */
  recall(known: KnownMessage, isCopied: boolean): void {
    this.#add(known, isCopied ? this.#copied : this.#own);
  }

  /** Of streams: the records before this sequence go with the open group; what is remembered of them is not to go with them. */
  onTrimmed(before: Sequence): void {
    const kept: KnownMessage[] = [];
    for (
      let first = this.#own.peek();
      first !== undefined && first.sequence < before;
      first = this.#own.peek()
    ) {
      this.#own.shift();
      this.#copied.push(first);
      kept.push(first);
    }
    if (kept.length > 0) this.#context.keepAll(this.owner, kept);
  }

  /** Forgets what is too old; to be called now and again. */
  expire(now: Instant): void {
    for (
      let first = this.#first;
      first !== undefined && now - first.at >= this.windowMs;
      first = this.#first
    ) {
      this.dropOldest();
    }
  }

  /** Nothing is known. */
  forget(): void {
    this.#known.clear();
    this.#copied.clear();
    this.#own.clear();
    const { bytes } = this;
    this.bytes = 0;
    this.#context.onGrown(-bytes);
  }

  /** Forgets what was taken first. */
  dropOldest(): void {
    const oldest = this.#copied.shift() ?? this.#own.shift();
    if (oldest === undefined) return;
    // It may have been taken anew since.
    if (this.#known.get(oldest.messageId) === oldest) this.#known.delete(oldest.messageId);
    if (this.size === 0) {
      // Their memory comes back, too.
      this.forget();
      return;
    }
    const bytes = bytesOf(oldest);
    this.bytes -= bytes;
    this.#context.onGrown(-bytes);
  }

  get #first(): KnownMessage | undefined {
    return this.#copied.peek() ?? this.#own.peek();
  }

  #add(known: KnownMessage, to: RingBuffer<KnownMessage>): void {
    this.#known.set(known.messageId, known);
    to.push(known);
    const bytes = bytesOf(known);
    this.bytes += bytes;
    this.#context.onGrown(bytes);
  }
}

const bytesOf = ({ messageId }: KnownMessage): number => 2 * messageId.length + ENTRY_BYTES;
