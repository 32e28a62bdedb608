import { ratio, type Summary, summarize } from "../statistics.ts";
import type { SuiteEntry, SuiteReport, SuiteSection } from "./suite.ts";
import type { SuiteResult } from "./suite-run.ts";

/** Names of what a run measures in numbers. */
export type SuiteFigure = Exclude<keyof SuiteResult, "faults" | "window">;

/** One peer in one scenario over its rounds. */
export interface SuiteFigures {
  readonly peer: string;
  readonly rounds: number;
  readonly summary: (figure: SuiteFigure) => Summary | undefined;
}

/** RillMQ's medians over another peer's. */
export interface SuiteRatio {
  readonly scenario: string;
  readonly own: string;
  readonly peer: string;
  /** Above 1: RillMQ is faster. */
  readonly rate: number | undefined;
  /** Below 1: RillMQ takes less processor time for a message. */
  readonly brokerUs: number | undefined;
  /** Below 1: RillMQ's slowest hundredth is quicker. */
  readonly p99: number | undefined;
}

/** Medians and ranges of one peer, worked out when asked for. */
export function suiteFiguresOf({ peer, runs }: SuiteEntry): SuiteFigures {
  const summary = (figure: SuiteFigure): Summary | undefined =>
    summarize(runs.map((run) => run[figure]));
  return { peer, rounds: runs.length, summary };
}

/** Ratios of RillMQ, on disk and from memory, to every other peer with figures. */
export function suiteRatios({ scenario, entries }: SuiteSection): SuiteRatio[] {
  const figures = entries.map(suiteFiguresOf).filter(({ rounds }) => rounds > 0);
  const isOwn = ({ peer }: SuiteFigures): boolean => peer.startsWith("rillmq");
  return figures.filter(isOwn).flatMap((own) =>
    figures
      .filter((other) => !isOwn(other))
      .map((other) => {
        const over = (figure: SuiteFigure): number | undefined =>
          ratio(own.summary(figure)?.median, other.summary(figure)?.median);
        const names = { scenario: scenario.name, own: own.peer, peer: other.peer };
        return {
          ...names,
          rate: over("perSecond"),
          brokerUs: over("brokerUs"),
          p99: over("p99Us"),
        };
      }),
  );
}

/** How much more a message costs in the second scenario than in the first, for each peer with figures in both. */
export function costGrowth(
  report: SuiteReport,
  from: string,
  to: string,
): { readonly peer: string; readonly growth: number | undefined }[] {
  const of = (name: string): readonly SuiteEntry[] =>
    report.sections.find(({ scenario }) => scenario.name === name)?.entries ?? [];
  return of(from).flatMap((entry) => {
    const later = of(to).find(({ peer }) => peer === entry.peer);
    if (later === undefined) return [];
    const cost = (one: SuiteEntry): number | undefined =>
      suiteFiguresOf(one).summary("brokerUs")?.median;
    return [{ peer: entry.peer, growth: ratio(cost(later), cost(entry)) }];
  });
}

/** Pairs of scenarios whose cost per message is compared. */
export const GROWTHS = [
  ["connections-10", "connections-10000", "10 to 10,000 connections"],
  ["subscriptions-10", "subscriptions-100000", "10 to 100,000 subscriptions, all topics in turn"],
  ["subscriptions-10", "subscriptions-100000-hot", "10 to 100,000 subscriptions, 100 topics"],
] as const;
