/**
 * The log's time. It is its own: it goes with the monotonic clock, goes on after a restart where it was, and never leaps, so that
 * whatever the wall clock does, nothing becomes due that is not. What a stamp means is told from it: `since` how old it is,
 * `wallOf` when that was by the wall clock.
 *
 *     trusted ----(the wall clock is not believed)----> waiting ----(believed again)----> trusted
 *       `since` is true                                   time spent off is missing,        and added to what is older
 *                                                         nothing ages by it
 *
 * Time spent off counts when the wall clock was believed before and is believed after, at the start or later in the run:
 * what is missing then is added as a gap to all that is older. On disk under `60 "time"`: version:u8 isTrusted:u8 at:f64 trustedAt:f64
 * trustedWall:f64 (-1: never), in each commit that changes small records and else once a second, because records of logs have stamps of
 * their own that the time goes on from; and under `60 "gaps"` per gap at:f64 ms:f64.
 */
import type { Clock, Instant } from "../lib/clock.ts";
import { brokerKey } from "./session-records.ts";
import type { Store } from "./store.ts";

/** What the wall clock says, in ms since 1970, and whether it is to be believed. */
export interface WallReading {
  readonly wallMs: number;
  readonly isTrusted: boolean;
}

/** `newestMs`: the latest wall time that was believed; undefined: none ever was. */
export type ReadWall = (newestMs: number | undefined) => WallReading;

/** After `at` (a time of the log) the log missed `ms`. */
interface Gap {
  readonly at: number;
  readonly ms: number;
}

/** One moment by both clocks. */
interface Moment {
  readonly at: number;
  readonly wallMs: number;
}

const TIME_KEY = brokerKey("time");
const GAPS_KEY = brokerKey("gaps");
const VERSION = 1;
const TIME_BYTES = 26;
const GAP_BYTES = 16;
/** Gaps that are kept; beyond it the two oldest become one, which makes what lies between them younger. */
const GAPS_MAX = 64;
/** A wall clock that moves by more against the monotonic one was set; less is correction and rounding. */
const STEP_MS = 1_000;
/** How often the time goes to disk when nothing else does, as long as the time spent off could not be told. */
const CHECKPOINT_MS = 60_000;
/** How often it goes with groups that have records of logs and nothing else. */
const RENEWAL_MS = 1_000;

export class LogTime implements Clock {
  readonly #store: Store;
  readonly #steadyMs: () => number;
  readonly #readWall: ReadWall;
  /** From the monotonic clock to the log's time. */
  readonly #offsetMs: number;
  readonly #startedAt: number;
  /** Oldest first. */
  #gaps: Gap[];
  #isTrusted: boolean;
  /** The last moment at which the wall clock was believed. */
  #trusted: Moment | undefined;
  /** From the log's time to that of the wall clock, as far as known. */
  #wallOffsetMs = 0;
  #stagedAt: number;
  /** It went to disk in this run. */
  #wasStaged = false;

  /** Reads what is on disk. `steadyMs` is a monotonic clock with any beginning. */
  constructor(store: Store, steadyMs: () => number, readWall: ReadWall) {
    this.#store = store;
    this.#steadyMs = steadyMs;
    this.#readWall = readWall;
    const known = decodeTime(store.get("meta", TIME_KEY));
    this.#gaps = decodeGaps(store.get("meta", GAPS_KEY));
    this.#trusted = known?.trusted;
    this.#isTrusted = false;
    const reading = readWall(known?.trusted?.wallMs);
    // Behind all stamps there are: a gap has to lie between those of two runs.
    let at = Math.max(
      known === undefined ? reading.wallMs : known.at + 1,
      (store.latestAt ?? -1) + 1,
    );
    const isTrustedBefore = known?.isTrusted === true && known.trusted !== undefined;
    if (isTrustedBefore && reading.isTrusted) {
      // All that is stored is older than this, so that the log's time itself can go on by the time spent off.
      at += Math.max(0, missingMs(known.trusted, at, reading.wallMs));
      this.#isTrusted = true;
    }
    this.#offsetMs = at - steadyMs();
    this.#startedAt = at;
    this.#stagedAt = at;
    this.#see(at, reading);
  }

  now(): Instant {
    return Math.floor(this.#steadyMs() + this.#offsetMs) as Instant;
  }

  since(stamp: Instant): number {
    let ms = this.now() - stamp;
    // Hot path: nearly always there are none.
    for (const gap of this.#gaps) if (stamp <= gap.at) ms += gap.ms;
    return ms;
  }

  wallOf(stamp: Instant): number {
    // Hot path: per delivery; without `now`, which costs a call and falls out of the sum.
    let wall = stamp + this.#wallOffsetMs;
    for (const gap of this.#gaps) if (stamp <= gap.at) wall -= gap.ms;
    return wall;
  }

  /** False: time spent off and what the wall clock says do not count for now. */
  get isTrusted(): boolean {
    return this.#isTrusted;
  }

  /**
   * Looks at the wall clock; to be called every second or so. True: time spent off has become known, what is from
   * before is older than it was.
   */
  observe(): boolean {
    const now = this.now();
    const news = this.#see(now, this.#readWall(this.#trusted?.wallMs));
    // News at once: after a crash a step of the wall clock must not be taken for time spent off.
    const isLate = !this.#isTrusted && now - this.#stagedAt >= CHECKPOINT_MS;
    if (news !== "none" || isLate) this.stage();
    return news === "aged";
  }

  /** A group is being sealed and has all but this: the time goes with it where it has to. */
  seal(): void {
    // Hot path: per commit. Without it a commit of records alone writes no page of the table of small records.
    const isRecent = this.#wasStaged && this.now() - this.#stagedAt < RENEWAL_MS;
    if (this.#store.hasChanges || !isRecent) this.stage();
  }

  /** Goes with the group that is being sealed or open. */
  stage(): void {
    const now = this.now();
    this.#stagedAt = now;
    this.#wasStaged = true;
    if (this.#isTrusted) this.#trusted = { at: now, wallMs: now + this.#wallOffsetMs };
    this.#store.put("meta", TIME_KEY, encodeTime(now, this.#isTrusted, this.#trusted));
  }

  /** `aged`: time spent off has become known. */
  #see(now: number, reading: WallReading): "none" | "changed" | "aged" {
    const offsetMs = Math.round(reading.wallMs - now);
    if (!reading.isTrusted) {
      const isLost = this.#isTrusted;
      // Up to here the run has known the time.
      if (isLost) this.#trusted = { at: now, wallMs: now + this.#wallOffsetMs };
      this.#isTrusted = false;
      const trusted = this.#trusted;
      this.#wallOffsetMs = trusted === undefined ? offsetMs : trusted.wallMs - trusted.at;
      return isLost ? "changed" : "none";
    }
    if (this.#isTrusted && Math.abs(offsetMs - this.#wallOffsetMs) < STEP_MS) return "none";
    const isAged = !this.#isTrusted && this.#learn(now, reading.wallMs);
    this.#isTrusted = true;
    this.#wallOffsetMs = offsetMs;
    return isAged ? "aged" : "changed";
  }

  /** The wall clock is believed again: what the log missed since it was becomes a gap there. False: nothing. */
  #learn(now: number, wallMs: number): boolean {
    const { at = 0 } = this.#trusted ?? {};
    const ms = Math.floor(missingMs(this.#trusted, now, wallMs));
    // Within this run nothing is missing, whatever the wall clock says.
    if (at >= this.#startedAt || ms < STEP_MS) return false;
    this.#gaps = withGap(this.#gaps, { at, ms });
    this.#store.put("meta", GAPS_KEY, encodeGaps(this.#gaps));
    return true;
  }
}

/** How much more time went by on the wall than in the log since a moment. */
function missingMs(since: Moment | undefined, at: number, wallMs: number): number {
  return since === undefined ? 0 : wallMs - since.wallMs - (at - since.at);
}

function withGap(gaps: readonly Gap[], gap: Gap): Gap[] {
  const [first, second, ...rest] = [...gaps, gap];
  if (first === undefined || second === undefined || rest.length + 2 <= GAPS_MAX) {
    return [...gaps, gap];
  }
  return [{ at: first.at, ms: first.ms + second.ms }, ...rest];
}

interface KnownTime {
  readonly at: number;
  readonly isTrusted: boolean;
  readonly trusted: Moment | undefined;
}

function encodeTime(at: number, isTrusted: boolean, trusted: Moment | undefined): Uint8Array {
  const bytes = new Uint8Array(TIME_BYTES);
  const view = new DataView(bytes.buffer);
  bytes[0] = VERSION;
  bytes[1] = isTrusted ? 1 : 0;
  view.setFloat64(2, at);
  view.setFloat64(10, trusted?.at ?? -1);
  view.setFloat64(18, trusted?.wallMs ?? -1);
  return bytes;
}

/** Undefined: there is none, or it is damaged. */
function decodeTime(bytes: Uint8Array | undefined): KnownTime | undefined {
  if (bytes?.length !== TIME_BYTES || bytes[0] !== VERSION) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const [at, trustedAt, wallMs] = [2, 10, 18].map((offset) => view.getFloat64(offset));
  if (!isTime(at) || !isTime(trustedAt) || !isTime(wallMs)) return undefined;
  const trusted = trustedAt < 0 ? undefined : { at: trustedAt, wallMs };
  return { at, isTrusted: bytes[1] === 1, trusted };
}

const isTime = (value: number | undefined): value is number =>
  value !== undefined && value >= -1 && value <= Number.MAX_SAFE_INTEGER;

function encodeGaps(gaps: readonly Gap[]): Uint8Array {
  const bytes = new Uint8Array(gaps.length * GAP_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [index, { at, ms }] of gaps.entries()) {
    view.setFloat64(index * GAP_BYTES, at);
    view.setFloat64(index * GAP_BYTES + 8, ms);
  }
  return bytes;
}

function decodeGaps(bytes: Uint8Array | undefined): Gap[] {
  if (bytes === undefined || bytes.length % GAP_BYTES !== 0) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const gaps: Gap[] = [];
  for (let offset = 0; offset < bytes.length; offset += GAP_BYTES) {
    const gap = { at: view.getFloat64(offset), ms: view.getFloat64(offset + 8) };
    if (isTime(gap.at) && isTime(gap.ms) && gap.ms >= 0) gaps.push(gap);
  }
  return gaps.slice(0, GAPS_MAX);
}
