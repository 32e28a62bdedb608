/**
 * The port to what is durable. Two stores fulfil it, with one contract test: `store/lmdb-store.ts`
 * (on disk) and `store/memory-store.ts` (tests, simulation).
 *
 * Everything staged between two seals is one **group** and becomes one **commit**: all of it is on disk or
 * none of it. At most one commit is in flight; what arrives meanwhile is the next group. Life of a group:
 *
 *     open --seal--> in flight --onFlushed--> flushed
 *                        `-----onFailed--> outcome unknown: the store takes nothing more; reopen it
 *
 * Sequences and ordinals are given out when a group is sealed, and no reader sees a record before it
 * is flushed.
 */
import type { Instant } from "../lib/clock.ts";
import type { Message } from "./message.ts";

/** Number of a log in this store; 0 is the session log. */
export type LogId = number & { readonly __brand: "LogId" };
/** Number of a record in its log: dense over flushed records, from 1, never reused. */
export type Sequence = number & { readonly __brand: "Sequence" };
/** Number of a record over all logs: grows with every durable message, never reused; unique, not dense. */
export type Ordinal = number & { readonly __brand: "Ordinal" };
/** Number of a commit since the store was opened, from 1. */
export type CommitNumber = number & { readonly __brand: "CommitNumber" };

export const SESSION_LOG = 0 as LogId;
export const NO_COMMIT = 0 as CommitNumber;

/**
 * A message in a log. As returned by `append` it has sequence and ordinal 0 until its group is sealed and its
 * bytes are valid until `onFlushed` of its commit returns (they are the group's arena). As read it owns
 * its bytes (shared with the other records of its chunk).
 */
export interface LogRecord extends Message {
  readonly log: LogId;
  sequence: Sequence;
  ordinal: Ordinal;
  /** The epoch of the store's opening that appended it: 16 hexadecimal digits. */
  readonly epoch: string;
}

/** A run of sequences, both ends included. */
export interface SequenceRange {
  readonly from: Sequence;
  readonly to: Sequence;
}

/** What one `read` found. */
export interface LogBatch {
  /** In order of sequence; may have gaps only where `damaged` says so or where trimmed. */
  readonly records: readonly LogRecord[];
  /** Where to read on: one past the last sequence looked at. Equal to what was asked: nothing there yet. */
  readonly next: Sequence;
  /** Records that are there but fail their checksum. */
  readonly damaged: readonly SequenceRange[];
}

/** Of the moment in which they are read, however long this is held. */
export interface LogStats {
  /** First sequence still there; equal to `nextSequence` when the log is empty. */
  readonly firstSequence: Sequence;
  /** One past the last flushed sequence. */
  readonly nextSequence: Sequence;
  /** Live bytes, flushed and not trimmed, with keys and overhead. */
  readonly bytes: number;
  /** Receive time of the first record still there; undefined when empty. */
  readonly oldestAt: Instant | undefined;
}

/** The two small tables beside the logs. Keys order as bytes. */
export type Table = "meta" | "retained";

/** Why durable work is refused now; undefined: it is not. */
export type StoreRefusal = "disk-full" | "store-full" | "pending-full" | "failed";

/** Called by the store, on its own turn (never from inside `append`, `put` or `remove`). */
export interface StoreEvents {
  /** The open group is about to be sealed and its records now have sequences: the last chance to stage more `put`s with it. */
  onSealing(commit: CommitNumber): void;
  /** The commit is on disk. Bytes of its records become invalid when this returns. */
  onFlushed(commit: CommitNumber): void;
  /** The commit failed: outcome unknown. Nothing more is taken; close and open again. */
  onFailed(commit: CommitNumber, error: Error): void;
}

export interface Store {
  /** Drawn at this opening: 16 hexadecimal digits of 64 random bits. */
  readonly epoch: string;
  /** The last commit that is on disk. */
  readonly flushedCommit: CommitNumber;
  /** The commit that takes what is staged now. */
  readonly openCommit: CommitNumber;
  /** Bytes staged or in flight, not yet flushed. */
  readonly pendingBytes: number;
  /** The open group changes small records. */
  readonly hasChanges: boolean;
  /** The ordinal that the next record to be sealed gets. */
  readonly nextOrdinal: Ordinal;
  /** Bytes of logs read from the file since it was opened; what is found in memory does not count. */
  readonly bytesRead: number;
  /** The latest receive time among stored records, to start the log's clock not before it. */
  readonly latestAt: Instant | undefined;

  /** Whom to tell; set once, before anything is staged. */
  listen(events: StoreEvents): void;
  /** The log of this name; made (and staged) when it is new. Names are stable over restarts. */
  openLog(name: string): LogId;
  /** Gives a log another name, which none has yet; goes with the open group. */
  renameLog(log: LogId, name: string): void;
  /** The names of all logs there are, by id. */
  logNames(): ReadonlyMap<LogId, string>;
  /** Why `append` should not be called now. The caller asks before; control records may ignore it. */
  refusal(): StoreRefusal | undefined;

  /** Stages a record; copies what it needs of `message` before it returns. */
  append(log: LogId, message: Message): LogRecord;
  /** Stages a small record. The bytes must not change until its commit. */
  put(table: Table, key: Uint8Array, value: Uint8Array): void;
  remove(table: Table, key: Uint8Array): void;

  /**
   * The open group is to be sealed as if something had been staged: who calls this stages it when told that it is being sealed. What
   * changes often within one group is written once so.
   */
  sealSoon(): void;
  /** The same for what nobody waits for: the group may stay open for a millisecond or two for others to bring it to disk. */
  sealLater(): void;

  /** A flushed small record (a copy). */
  get(table: Table, key: Uint8Array): Uint8Array | undefined;
  /**
   * All flushed small records whose key starts with `prefix`, in order of key, beginning at a key (inclusive), at
   * most `limit`. Copies. Keys of more than 1,900 bytes are in order by those only; there one goes on at a key that was found.
   */
  scan(
    table: Table,
    prefix: Uint8Array,
    from?: Uint8Array,
    limit?: number,
  ): [key: Uint8Array, value: Uint8Array][];

  /**
   * Flushed records of a log from a sequence on, at most `recordsMax` and (beyond the first) `bytesMax`. None of a log that
   * there is none of: who asks may have it from a damaged record.
   */
  read(log: LogId, from: Sequence, recordsMax: number, bytesMax: number): LogBatch;
  stats(log: LogId): LogStats;
  /** The sequence that the next record appended to this log gets, if all commits before it succeed. */
  nextSequence(log: LogId): Sequence;
  /**
   * Allows the deletion of records before a sequence that also have ordinals below `beforeOrdinal`. Deletes whole
   * chunks with the next commits; the last chunk of a log always stays, because it carries the log's numbers. Returns the
   * first sequence that stays.
   */
  trim(log: LogId, before: Sequence, beforeOrdinal: Ordinal): Sequence;

  /** Seals and flushes what is staged; resolves when nothing is staged or in flight, or rejects on failure. */
  drain(): Promise<void>;
  /** Closes; staged work that was not drained is gone. */
  close(): Promise<void>;
}
