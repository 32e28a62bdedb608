import type { CommitNumber, Store } from "../broker/store.ts";
import type { IntervalSet } from "../lib/interval-set.ts";
import { encodeProgress, type Progress } from "./progress.ts";
import type { RemotePosition } from "./remote.ts";

/** A write on its way to disk. */
interface Flight {
  readonly commit: CommitNumber;
  readonly mark: number;
}

export interface PersistLimits {
  /** Progress is on its way to disk this long after it was made, at the latest. */
  readonly persistEveryMs: number;
  /** Or after this many acknowledged bytes. */
  readonly persistEveryBytes: number;
}

/**
 * Writes a lane's progress, coalesced: one write in flight, the next one after a while or enough bytes. What is
 * lost with the last write costs a few resent records, which the remote has already.
 */
export class ProgressWriter {
  readonly #store: Store;
  readonly #key: Uint8Array;
  readonly #progress: Progress;
  readonly #limits: PersistLimits;
  #persistedMark: number;
  #inFlight: Flight | undefined;
  /** The write in the commit after that one, when something did not wait its turn. */
  #following: Flight | undefined;
  #writtenSize: number;
  #writtenRemote: RemotePosition | undefined;
  #dirtySinceMs: number | undefined;
  #dirtyBytes = 0;

  /** @param isOnDisk whether `progress` is what the store holds */
  constructor(
    parts: { store: Store; key: Uint8Array; progress: Progress; limits: PersistLimits },
    isOnDisk: boolean,
  ) {
    this.#store = parts.store;
    this.#key = parts.key;
    this.#progress = parts.progress;
    this.#limits = parts.limits;
    this.#persistedMark = isOnDisk ? parts.progress.mark : 0;
    this.#writtenSize = isOnDisk ? parts.progress.done.size : 0;
    this.#writtenRemote = isOnDisk ? parts.progress.remote : undefined;
  }

  /** Everything up to this sequence is done, and that is on disk. */
  get persistedMark(): number {
    return this.#persistedMark;
  }

  /** True when the disk knows all there is to know. */
  get isClean(): boolean {
    return this.#inFlight === undefined && !this.#isDirty;
  }

  noteBytes(bytes: number): void {
    this.#dirtyBytes += bytes;
  }

  /** When the next write is due; undefined: nothing to write, or one is in flight. */
  dueAtMs(nowMs: number): number | undefined {
    if (this.#inFlight !== undefined || !this.#isDirty) return undefined;
    this.#dirtySinceMs ??= nowMs;
    if (this.#dirtyBytes >= this.#limits.persistEveryBytes) return nowMs;
    return this.#dirtySinceMs + this.#limits.persistEveryMs;
  }

  /** Stages what there is, also while a write is in flight. Throws what the store throws. */
  write(): void {
    const { done, remote } = this.#progress;
    this.#store.put("meta", this.#key, encodeProgress(this.#progress));
    const flight = { commit: this.#store.openCommit, mark: this.#progress.mark };
    if (this.#inFlight === undefined || this.#inFlight.commit === flight.commit) {
      this.#inFlight = flight;
    } else this.#following = flight;
    this.#writtenSize = done.size;
    this.#writtenRemote = remote;
    this.#dirtySinceMs = undefined;
    this.#dirtyBytes = 0;
  }

  /** A commit was flushed: perhaps the one with our write. */
  onFlushed(): void {
    while (this.#inFlight !== undefined && this.#store.flushedCommit >= this.#inFlight.commit) {
      this.#persistedMark = this.#inFlight.mark;
      this.#inFlight = this.#following;
      this.#following = undefined;
    }
  }

  get #isDirty(): boolean {
    const done: IntervalSet = this.#progress.done;
    return done.size !== this.#writtenSize || this.#progress.remote !== this.#writtenRemote;
  }
}
