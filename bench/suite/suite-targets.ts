import { ratio, type Summary, summarize } from "../statistics.ts";
import { formatSummary } from "../table.ts";
import type { SuiteEntry, SuiteReport } from "./suite.ts";
import { GROWTHS, type SuiteFigure } from "./suite-figures.ts";

/** What RillMQ wants to reach in a scenario. */
interface SuiteTarget {
  readonly scenario: string;
  readonly figure: SuiteFigure;
  readonly what: string;
  readonly own: "rillmq" | "rillmq-memory";
  /** A ratio to this peer in the same round, or to RillMQ in another scenario; undefined: the figure itself. */
  readonly over: { readonly peer: string } | { readonly scenario: string } | undefined;
  readonly bound: "at least" | "at most";
  readonly limit: number;
  /** Of a figure that is no ratio. */
  readonly unit?: { readonly name: string; readonly size: number };
}

/** A target and what was measured. */
export interface TargetOutcome {
  readonly target: SuiteTarget;
  /** Over rounds; undefined: not measured. */
  readonly measured: Summary | undefined;
  /** By the median. */
  readonly isMet: boolean;
}

const rate = (scenario: string, peer: string, limit: number): SuiteTarget => ({
  scenario,
  figure: "perSecond",
  what: `messages/s over those of ${peer}`,
  own: "rillmq",
  over: { peer },
  bound: "at least",
  limit,
});

const atMost = (
  scenario: string,
  figure: SuiteFigure,
  what: string,
  limit: number,
  over: SuiteTarget["over"],
): SuiteTarget => ({ scenario, figure, what, own: "rillmq", over, bound: "at most", limit });

const mosquitto = { peer: "mosquitto" } as const;
const MB = { name: "MB", size: 1_048_576 } as const;
const KB = { name: "KB", size: 1_024 } as const;

/** All targets, in the order of the report. */
const TARGETS: readonly SuiteTarget[] = [
  ...["fan-in", "fan-out", "pairs", "qos1-window-1"].flatMap((name) => [
    rate(name, "mosquitto", 1.1),
    rate(name, "forwarder", 0.85),
  ]),
  ...["fan-in-batched", "fan-out-batched", "pairs-batched"].flatMap((name) => [
    rate(name, "mosquitto", 10),
    atMost(name, "brokerUs", "processor time per message over that of mosquitto", 0.1, mosquitto),
  ]),
  rate("disk-1", "mosquitto", 5),
  rate("qos2-window-20", "mosquitto", 5),
  rate("ingest-100", "append-only-file", 0.5),
  rate("ingest-1000", "append-only-file", 0.6),
  atMost("latency-qos0", "p99Us", "p99 over that of mosquitto", 1.2, mosquitto),
  {
    ...atMost("latency-qos1", "p99Us", "p99 from memory over that of mosquitto", 1.2, mosquitto),
    own: "rillmq-memory",
  },
  { ...atMost("idle", "idleBytes", "resident memory idle", 60, undefined), unit: MB },
  { ...atMost("idle", "bytesPerConnection", "of each connection", 6, undefined), unit: KB },
  { ...atMost("idle", "peakBytes", "with all connections", 120, undefined), unit: MB },
  ...GROWTHS.map(([from, to, what]) =>
    atMost(to, "brokerUs", `processor time per message, ${what}`, 1.5, { scenario: from }),
  ),
];

/** What became of each target of the scenarios that the report has. */
export function targetOutcomes(report: SuiteReport): TargetOutcome[] {
  const names = new Set(report.sections.map(({ scenario }) => scenario.name));
  return TARGETS.filter(({ scenario }) => names.has(scenario)).map((target) => {
    const measured = measure(report, target);
    const { bound, limit } = target;
    const isMet =
      measured !== undefined &&
      (bound === "at least" ? measured.median >= limit : measured.median <= limit);
    return { target, measured, isMet };
  });
}

/** One row per target: scenario, what, target, measured (median and range over rounds), met or missed. */
export function targetRows(report: SuiteReport): string[][] {
  return targetOutcomes(report).map(({ target, measured, isMet }) => {
    const { scenario, what, own, bound, limit, unit } = target;
    const suffix = unit === undefined ? " ×" : ` ${unit.name}`;
    const sign = bound === "at least" ? "≥" : "≤";
    return [
      own === "rillmq" ? scenario : `${scenario} (${own})`,
      what,
      `${sign} ${limit}${suffix}`,
      measured === undefined ? "–" : `${formatSummary(measured)}${suffix}`,
      measured === undefined ? "not measured" : isMet ? "met" : "missed",
    ];
  });
}

/** Ratios are those of one round, so that what slows the machine down for a while slows both. */
function measure(report: SuiteReport, target: SuiteTarget): Summary | undefined {
  const { scenario, figure, own, over, unit } = target;
  const entryOf = (name: string, peer: string): SuiteEntry | undefined =>
    report.sections
      .find((section) => section.scenario.name === name)
      ?.entries.find((entry) => entry.peer === peer);
  const runs = entryOf(scenario, own)?.runs ?? [];
  const values = runs.map((run) => run[figure]);
  if (over === undefined) {
    const size = unit?.size ?? 1;
    return summarize(values.map((value) => (value === undefined ? undefined : value / size)));
  }
  const base = "peer" in over ? entryOf(scenario, over.peer) : entryOf(over.scenario, own);
  const bases = (base?.runs ?? []).map((run) => run[figure]);
  // With a round that failed on one side rounds are no longer known to be the same.
  if (values.length !== bases.length) return ratioOfMedians(values, bases);
  return summarize(values.map((value, round) => ratio(value, bases[round])));
}

function ratioOfMedians(
  values: readonly (number | undefined)[],
  bases: readonly (number | undefined)[],
): Summary | undefined {
  const value = ratio(summarize(values)?.median, summarize(bases)?.median);
  return summarize([value]);
}
