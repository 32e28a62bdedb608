/**
 * What a file could be after the power went out. A recording (see record.c) is played up to a point; pages
 * that were not synced by then may be there, or not, or in an older version, or torn between sectors.
 */
import { readFileSync } from "node:fs";

const PAGE_BYTES = 4_096;
const SECTOR_BYTES = 512;
/** Of an event before its data. */
export const EVENT_BYTES = 24;

const KIND = {
  write: 1,
  syncBegin: 2,
  syncEnd: 3,
  ack: 4,
  truncate: 5,
  syncedWrite: 6,
  syncedWriteEnd: 7,
} as const;

export interface Event {
  readonly kind: number;
  readonly offset: number;
  readonly sync: number;
  readonly data: Buffer;
}

/** What happened to pages that were not synced. */
export const FATES = ["dropped", "kept", "some", "older", "only meta", "no meta", "torn"] as const;
export type Fate = (typeof FATES)[number];

/** A whole number from 0 to below the bound. */
export type Random = (below: number) => number;

/** A page that was written and not yet synced. */
interface PendingPage {
  readonly index: number;
  readonly page: number;
  readonly bytes: Buffer;
}

/** Reads a recording; a last event that is cut is left out. */
export function readRecording(path: string): Event[] {
  const bytes = readFileSync(path);
  const events: Event[] = [];
  for (let at = 0; at + EVENT_BYTES <= bytes.length; ) {
    const length = bytes.readUInt32LE(at + 4);
    const end = at + EVENT_BYTES + length;
    if (end > bytes.length) break;
    events.push({
      kind: bytes.readUInt32LE(at),
      offset: Number(bytes.readBigUInt64LE(at + 8)),
      sync: bytes.readUInt32LE(at + 16),
      data: bytes.subarray(at + EVENT_BYTES, end),
    });
    at = end;
  }
  return events;
}

/** Plays a recording forward. */
export class Replay {
  readonly #events: readonly Event[];
  /** As the running system saw it. */
  readonly #cached = new Map<number, Buffer>();
  /** As it is on the platter for certain. */
  readonly #durable = new Map<number, Buffer>();
  readonly #syncs = new Map<number, { index: number; pages: Set<number> | undefined }>();
  #pending: PendingPage[] = [];
  #index = 0;
  /** The last line that was acknowledged; "" before the first. */
  acknowledged = "";

  constructor(events: readonly Event[]) {
    this.#events = events;
  }

  /** Plays up to the event with this index, exclusive. */
  advance(to: number): void {
    for (; this.#index < to; this.#index++) {
      const event = this.#events[this.#index];
      if (event !== undefined) this.#play(event, this.#index);
    }
  }

  #play(event: Event, index: number): void {
    switch (event.kind) {
      case KIND.write:
        this.#write(event, index);
        break;
      case KIND.syncedWrite:
        this.#syncs.set(event.sync, { index, pages: this.#write(event, index) });
        break;
      case KIND.syncBegin:
        this.#syncs.set(event.sync, { index, pages: undefined });
        break;
      case KIND.syncEnd:
      case KIND.syncedWriteEnd:
        this.#sync(event.sync);
        break;
      case KIND.ack:
        this.acknowledged = event.data.toString().trim().split("\n").at(-1) ?? "";
        break;
      default:
        break;
    }
  }

  #write(event: Event, index: number): Set<number> {
    const pages = new Set<number>();
    const end = event.offset + event.data.length;
    for (let at = event.offset; at < end; ) {
      const page = Math.floor(at / PAGE_BYTES);
      const pageEnd = Math.min(end, (page + 1) * PAGE_BYTES);
      const bytes = Buffer.from(this.#cached.get(page) ?? Buffer.alloc(PAGE_BYTES));
      event.data.copy(bytes, at - page * PAGE_BYTES, at - event.offset, pageEnd - event.offset);
      this.#cached.set(page, bytes);
      this.#pending.push({ index, page, bytes });
      pages.add(page);
      at = pageEnd;
    }
    return pages;
  }

  /** Everything written before a sync began is durable when it ends. */
  #sync(number: number): void {
    const sync = this.#syncs.get(number);
    if (sync === undefined) return;
    this.#syncs.delete(number);
    const rest: PendingPage[] = [];
    for (const entry of this.#pending) {
      const isCovered = entry.index <= sync.index && (sync.pages?.has(entry.page) ?? true);
      if (isCovered) this.#durable.set(entry.page, entry.bytes);
      else rest.push(entry);
    }
    this.#pending = rest;
  }

  /** True when some pages are written and not synced. */
  get hasPending(): boolean {
    return this.#pending.length > 0;
  }

  /** The file as it could be if the power went out now. */
  image(fate: Fate, random: Random): Buffer {
    const pages = new Map(this.#durable);
    const versions = new Map<number, Buffer[]>();
    for (const { page, bytes } of this.#pending) {
      const known = versions.get(page);
      if (known === undefined) versions.set(page, [bytes]);
      else known.push(bytes);
    }
    for (const [page, candidates] of versions) {
      const before = this.#durable.get(page);
      const after = pageAfter(fate, page, candidates, before, random);
      if (after !== undefined) pages.set(page, after);
    }
    let last = 0;
    for (const page of pages.keys()) if (page > last) last = page;
    const image = Buffer.alloc((last + 1) * PAGE_BYTES);
    for (const [page, bytes] of pages) bytes.copy(image, page * PAGE_BYTES);
    return image;
  }
}

/** What an unsynced page became; undefined: what it was. */
function pageAfter(
  fate: Fate,
  page: number,
  versions: readonly Buffer[],
  before: Buffer | undefined,
  random: Random,
): Buffer | undefined {
  const newest = versions.at(-1);
  const isMeta = page < 2;
  switch (fate) {
    case "dropped":
      return undefined;
    case "kept":
      return newest;
    case "some":
      return random(2) === 0 ? newest : undefined;
    case "older":
      return versions[random(versions.length + 1)];
    case "only meta":
      return isMeta ? newest : undefined;
    case "no meta":
      return isMeta ? undefined : newest;
    case "torn":
      return tear(versions, before, random);
  }
}

/** Each sector from another version, or as it was. */
function tear(versions: readonly Buffer[], before: Buffer | undefined, random: Random): Buffer {
  const torn = Buffer.from(before ?? Buffer.alloc(PAGE_BYTES));
  for (let at = 0; at < PAGE_BYTES; at += SECTOR_BYTES) {
    versions[random(versions.length + 1)]?.copy(torn, at, at, at + SECTOR_BYTES);
  }
  return torn;
}
