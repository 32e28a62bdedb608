import type { Machine } from "./machine.ts";
import type { RunResult } from "./run-result.ts";
import { qosOf, type Scenario } from "./scenario.ts";
import type { SelftestReport } from "./selftest.ts";
import { faultsOf, type Measured, type ScenarioReport, type SmokeReport } from "./smoke.ts";
import { ratio, type Summary, summarize } from "./statistics.ts";
import { formatOptional, formatQuantity, formatSummary, formatTable } from "./table.ts";

/** From this share of a core on, a process of the generator may be what limits a rate. */
const BUSY = 0.9;

/** The figures of one peer in one scenario, over its rounds. */
export interface Figures {
  readonly peer: string;
  readonly rounds: number;
  readonly messagesPerSecond: Summary | undefined;
  readonly brokerUsPerMessage: Summary | undefined;
  readonly brokerLoad: Summary | undefined;
  readonly publisherLoad: Summary | undefined;
  readonly subscriberLoad: Summary | undefined;
  readonly messagesPerRead: Summary | undefined;
  readonly messagesPerWrite: Summary | undefined;
  readonly peakRssBytes: Summary | undefined;
  /** Summed over the rounds; `undefined` when one of them did not drain. */
  readonly dropped: number | undefined;
  readonly acknowledgedNotDelivered: number | undefined;
}

/** How RillMQ compares with another peer: its median over the other's. */
export interface Ratios {
  readonly peer: string;
  /** Above 1: RillMQ delivers more. */
  readonly rate: number | undefined;
  /** Below 1: RillMQ takes less processor time per message. */
  readonly brokerUsPerMessage: number | undefined;
}

/** Medians and ranges over the rounds of one peer. */
export function figuresOf({ peer, runs }: Measured): Figures {
  const over = (pick: (run: RunResult) => number | undefined): Summary | undefined =>
    summarize(runs.map(pick));
  return {
    peer,
    rounds: runs.length,
    messagesPerSecond: over((run) => run.messagesPerSecond),
    brokerUsPerMessage: over((run) => run.brokerUsPerMessage),
    brokerLoad: over((run) => run.brokerLoad),
    publisherLoad: over((run) => run.publisherLoad),
    subscriberLoad: over((run) => run.subscriberLoad),
    messagesPerRead: over((run) => run.messagesPerRead),
    messagesPerWrite: over((run) => run.messagesPerWrite),
    peakRssBytes: over((run) => run.peakRssBytes),
    dropped: total(runs.map((run) => run.dropped)),
    acknowledgedNotDelivered: total(runs.map((run) => run.acknowledgedNotDelivered)),
  };
}

/** Ratios of the peer named `rillmq` to every other one; none without it. */
export function ratiosOf(figures: readonly Figures[]): Ratios[] {
  const own = figures.find(({ peer }) => peer === "rillmq");
  if (own === undefined) return [];
  const others = figures.filter((other) => other !== own);
  return others.map((other) => ({
    peer: other.peer,
    rate: ratio(own.messagesPerSecond?.median, other.messagesPerSecond?.median),
    brokerUsPerMessage: ratio(own.brokerUsPerMessage?.median, other.brokerUsPerMessage?.median),
  }));
}

/** The report for machines: everything measured, with figures and ratios worked out. */
export function smokeJson(report: SmokeReport): object {
  const scenarios = report.scenarios.map(({ scenario, measured }) => {
    const figures = measured.map(figuresOf);
    return { scenario, figures, ratios: ratiosOf(figures), measured };
  });
  return { kind: "smoke", ...report, scenarios, faults: faultsOf(report) };
}

/** The report for people, parameters first. */
export function smokeText(report: SmokeReport): string {
  const { machine, rounds, seconds, warmupSeconds } = report;
  const peers = report.peers.map(({ name, presence }) =>
    presence.isPresent
      ? [name, `${presence.version}, ${presence.conditions}`]
      : [name, `absent: ${presence.reason}`],
  );
  const parameters = [
    ...machineRows(machine),
    ["rounds", `${rounds}, interleaved, a fresh broker for each run`],
    ["window", `${seconds} s measured after ${warmupSeconds} s of warm-up`],
    ["data on", machine.dataFileSystem],
    ...peers,
  ];
  const faults = faultsOf(report).map((fault) => `FAULT ${fault}`);
  const sections = [
    "RillMQ bench: smoke",
    leftTable(parameters),
    "messages/s are those received; broker µs/msg is processor time of all its threads; median (range) over rounds.",
    ...report.scenarios.map(scenarioText),
    ...(faults.length > 0 ? [faults.join("\n")] : []),
  ];
  return `${sections.join("\n\n")}\n`;
}

function scenarioText(report: ScenarioReport): string {
  const { scenario } = report;
  const figures = report.measured.map(figuresOf);
  const lines = [heading(scenario), figuresTable(figures, qosOf(scenario.load) === 1)];
  const ratios = ratiosOf(figures);
  if (ratios.length > 0) lines.push(formatTable(ratioRows(ratios)));
  for (const { peer, publisherLoad, subscriberLoad } of figures) {
    const busiest = Math.max(publisherLoad?.median ?? 0, subscriberLoad?.median ?? 0);
    if (busiest < BUSY) continue;
    const share = Math.round(busiest * 100);
    lines.push(`note: with ${peer} a process of the generator took ${share} % of a core and may`);
    lines.push("      be what limits the rate; processor time per message stands all the same.");
  }
  return lines.join("\n");
}

function figuresTable(figures: readonly Figures[], isAcknowledged: boolean): string {
  const head = ["", "messages/s", "broker µs/msg", "broker load", "msg/read", "msg/write"];
  const tail = ["peak MB", "pub load", "sub load", "dropped"];
  const last = isAcknowledged ? ["acked, not delivered"] : [];
  const rows = figures.map((of) => [
    `  ${of.peer}`,
    formatSummary(of.messagesPerSecond),
    formatSummary(of.brokerUsPerMessage),
    formatOptional(of.brokerLoad?.median),
    formatOptional(of.messagesPerRead?.median),
    formatOptional(of.messagesPerWrite?.median),
    formatOptional(ratio(of.peakRssBytes?.max, 1_048_576)),
    formatOptional(of.publisherLoad?.median),
    formatOptional(of.subscriberLoad?.median),
    of.rounds === 0 ? "–" : formatCount(of.dropped),
    ...(isAcknowledged ? [of.rounds === 0 ? "–" : formatCount(of.acknowledgedNotDelivered)] : []),
  ]);
  return formatTable([[...head, ...tail, ...last], ...rows]);
}

function ratioRows(ratios: readonly Ratios[]): string[][] {
  return ratios.map(({ peer, rate, brokerUsPerMessage }) => [
    `  rillmq / ${peer}`,
    `rate ${formatOptional(rate, " ×")}`,
    `processor time per message ${formatOptional(brokerUsPerMessage, " ×")}`,
  ]);
}

/** The load generator's ceiling for people. */
export function selftestText(report: SelftestReport): string {
  const { machine, seconds, warmupSeconds, entries } = report;
  const parameters = [
    ...machineRows(machine),
    ["window", `${seconds} s measured after ${warmupSeconds} s of warm-up, one run each`],
  ];
  const head = ["", "messages/s", "publisher µs/msg", "subscriber µs/msg", "forwarder µs/msg"];
  const texts = entries.map(({ scenario, sink, forwarder }) => {
    const sinkRow = [
      "  into a sink",
      formatQuantity(sink.messagesPerSecond),
      formatOptional(sink.publisherUsPerMessage),
      "–",
      "–",
    ];
    const forwarderRow = [
      "  through a forwarder",
      formatQuantity(forwarder.messagesPerSecond),
      formatOptional(forwarder.publisherUsPerMessage),
      formatOptional(forwarder.subscriberUsPerMessage),
      formatOptional(forwarder.brokerUsPerMessage),
    ];
    const faults = forwarder.faults.map((fault) => `FAULT ${fault}`);
    return [heading(scenario), formatTable([head, sinkRow, forwarderRow]), ...faults].join("\n");
  });
  return `${["RillMQ bench: selftest", leftTable(parameters), ...texts].join("\n\n")}\n`;
}

function heading(scenario: Scenario): string {
  return `${scenario.name}: ${scenario.title}, ${scenario.payloadBytes} B`;
}

/** Where it ran: names and values. */
export function machineRows(machine: Machine): string[][] {
  const gigabytes = formatQuantity(machine.memoryBytes / 1_073_741_824);
  return [
    ["machine", `${machine.cores} × ${machine.cpuModel}, ${gigabytes} GB, ${machine.system}`],
    ["node", machine.node],
    ["commit", machine.commit],
    ["at", machine.startedAt],
  ];
}

/** Two columns, both flush left. */
export function leftTable(rows: readonly (readonly string[])[]): string {
  const width = Math.max(...rows.map(([name]) => (name ?? "").length));
  return rows.map(([name, text]) => `  ${(name ?? "").padEnd(width)}  ${text ?? ""}`).join("\n");
}

function total(values: readonly (number | undefined)[]): number | undefined {
  let sum = 0;
  for (const value of values) {
    if (value === undefined) return undefined;
    sum += value;
  }
  return sum;
}

function formatCount(count: number | undefined): string {
  return count === undefined ? "not drained" : String(count);
}
