import type { LogId, LogStats, Sequence } from "../broker/store.ts";
import type { Instant } from "../lib/clock.ts";
import type { OpenChunk } from "./group.ts";

/** The numbers of one log. What readers may see moves only when a commit is flushed. */
export class LogState {
  readonly id: LogId;
  name: string;

  /** First sequence still there, flushed. */
  firstSequence = 1;
  /** One past the last flushed sequence. */
  flushedEnd = 1;
  /** The next sequence to give out, when a group is sealed. */
  nextSequence = 1;
  /** Records of the open group that have no sequence yet. */
  unnumbered = 0;

  /** First sequence of the first chunk that is physically there; undefined: no chunk yet. */
  firstChunk: number | undefined = undefined;
  /** Live bytes, ever, before the first chunk. */
  bytesBefore = 0;
  /** Live bytes, ever, up to the end of the last flushed chunk. */
  flushedBytes = 0;
  /** The same with what is sealed. */
  sealedBytes = 0;

  /** Where the log is to start; at least `firstSequence`, moved by `trim`. */
  trimMark = 1;
  /** The trim mark as last sealed. */
  sealedTrimMark = 1;

  /** Where the open group writes now. */
  openChunk: OpenChunk | undefined = undefined;
  /** Bytes of the last group in this log: how large a chunk to begin with. */
  groupBytes = 0;

  /** What others see of it; made when somebody asks first. */
  view: LogStats | undefined = undefined;

  constructor(id: LogId, name: string) {
    this.id = id;
    this.name = name;
  }

  /** Live bytes, flushed and not trimmed; a chunk trimmed in part counts whole. */
  get liveBytes(): number {
    return this.firstSequence === this.flushedEnd ? 0 : this.flushedBytes - this.bytesBefore;
  }
}

/** What others see of a log: the numbers of the moment in which they are read, without a copy. */
export class LogView implements LogStats {
  readonly #log: LogState;
  readonly #readOldest: (log: LogState) => Instant | undefined;

  /** `readOldest` reads a record: it is called only where somebody asks. */
  constructor(log: LogState, readOldest: (log: LogState) => Instant | undefined) {
    this.#log = log;
    this.#readOldest = readOldest;
  }

  get firstSequence(): Sequence {
    return this.#log.firstSequence as Sequence;
  }

  get nextSequence(): Sequence {
    return this.#log.flushedEnd as Sequence;
  }

  get bytes(): number {
    return this.#log.liveBytes;
  }

  get oldestAt(): Instant | undefined {
    return this.#readOldest(this.#log);
  }
}
