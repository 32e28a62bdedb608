import { formatOptional, formatSummary } from "../table.ts";
import type { SuiteFigure, SuiteFigures } from "./suite-figures.ts";
import type { SuiteScenario } from "./suite-scenario.ts";

const MIB = 1_048_576;

/** A column of the report: how it is headed and what stands in it. */
export interface Column {
  readonly head: string;
  readonly cell: (figures: SuiteFigures) => string;
}

const withRange = (head: string, figure: SuiteFigure): Column => ({
  head,
  cell: ({ summary }) => formatSummary(summary(figure)),
});

const middle = (head: string, figure: SuiteFigure, per = 1): Column => ({
  head,
  cell: ({ summary }) => {
    const value = summary(figure)?.median;
    return formatOptional(value === undefined ? undefined : value / per);
  },
});

/** The largest over the rounds. */
const worst = (head: string, figure: SuiteFigure, per = 1): Column => ({
  head,
  cell: ({ summary }) => {
    const value = summary(figure)?.max;
    return formatOptional(value === undefined ? undefined : value / per);
  },
});

const COST: readonly Column[] = [
  withRange("broker µs/msg", "brokerUs"),
  middle("broker load", "brokerLoad"),
  middle("switches/msg", "contextSwitches"),
  middle("disk B/msg", "diskBytes"),
  worst("peak MB", "peakBytes", MIB),
  middle("anon MB", "anonymousBytes", MIB),
  middle("gen load", "generatorLoad"),
];

const IDLE: readonly Column[] = [
  withRange("connections/s", "perSecond"),
  withRange("broker µs/conn", "brokerUs"),
  withRange("B/conn", "bytesPerConnection"),
  middle("idle MB", "idleBytes", MIB),
  worst("peak MB", "peakBytes", MIB),
  middle("anon MB", "anonymousBytes", MIB),
];

/** What is said of a scenario. */
export function columnsOf({ measure, unit, copies, qos }: SuiteScenario): readonly Column[] {
  if (unit === "connections") return IDLE;
  const latency =
    measure["latency"] === undefined
      ? []
      : [
          withRange("p50 µs", "p50Us"),
          withRange("p99 µs", "p99Us"),
          withRange("p99.9 µs", "p999Us"),
        ];
  const dropped = copies === 0 ? [] : [worst("dropped", "dropped")];
  const broken =
    copies === 0 || qos === 0 ? [] : [worst("acked, lost", "acknowledgedNotDelivered")];
  return [...latency, withRange("messages/s", "perSecond"), ...COST, ...dropped, ...broken];
}
