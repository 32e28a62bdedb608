/** What a salvage found, and what it did not: for the log, for a file beside the store, for whoever asks. */
import type { SequenceRange } from "../../broker/store.ts";

/** Of one log. */
export interface SalvagedLog {
  readonly log: string;
  /** Records in the new file. */
  readonly records: number;
  /** Those among them that were found without the tree. */
  readonly foundWithoutTree: number;
  /** Sequences that are gone; the last may name more than there were when the end of the log is `isEndUnknown`. */
  readonly lost: readonly SequenceRange[];
  /** Records after the last one found may have been lost, nobody knows how many; their sequences are skipped. */
  readonly isEndUnknown: boolean;
}

/** Of `meta` (sessions, wills, what is owed, progress) or `retained`. */
export interface SalvagedRows {
  readonly rows: number;
  /** Those among them that lay in pages cut off from the tree, as they were at the last commit. */
  readonly foundWithoutTree: number;
  /** Those among them from older copies of lost pages: they may be out of date. */
  readonly older: number;
  /** Rows that there were and that were found neither way; undefined: not known. */
  readonly lost: number | undefined;
}

export interface SalvageReport {
  /** When, ISO 8601. */
  readonly at: string;
  readonly damagedPages: readonly {
    readonly table: string;
    readonly page: number;
    readonly why: string;
  }[];
  readonly faults: readonly string[];
  /** A commit that was acknowledged may be missing: the page that tells is damaged. */
  readonly lastCommitMayBeMissing: boolean;
  readonly logs: readonly SalvagedLog[];
  readonly meta: SalvagedRows & {
    /** Rows under a session's key: sessions that are back. */
    readonly sessions: number;
    /** Of QoS 2 exchanges, from older copies, left out: they start over. */
    readonly exchangesLeftOut: number;
  };
  readonly retained: SalvagedRows;
}

const rangeText = ({ from, to }: SequenceRange): string =>
  from === to ? `${from}` : `${from}..${to}`;

/** Ranges shown in one line; more are counted. */
const RANGES_SHOWN_MAX = 5;

/** One line: what is lost of each log, what is back. */
export function lostText({ logs }: SalvageReport): string {
  const lines = logs
    .filter(({ lost }) => lost.length > 0)
    .map(({ log, lost, isEndUnknown }) => {
      const shown = lost.slice(0, RANGES_SHOWN_MAX).map(rangeText);
      if (isEndUnknown) shown[shown.length - 1] = `${lost.at(-1)?.from ?? 0}.. (end unknown)`;
      const more = lost.length - shown.length;
      return `${log} ${shown.join(", ")}${more > 0 ? ` and ${more} more ranges` : ""}`;
    });
  return lines.length === 0 ? "nothing" : lines.join("; ");
}
