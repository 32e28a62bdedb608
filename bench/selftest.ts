import type { PublisherCommand, PublisherReport } from "./load/load-messages.ts";
import { LoadProcess } from "./load/load-process.ts";
import { describeMachine, type Machine } from "./machine.ts";
import type { BrokerProcess } from "./peers/broker-process.ts";
import { reference } from "./peers/reference.ts";
import { openPublisher, runScenario, startDeadline, type Timing, withBroker } from "./run.ts";
import type { RunResult } from "./run-result.ts";
import type { Scenario } from "./scenario.ts";
import { ratio } from "./statistics.ts";

const OVERHEAD_MS_MAX = 30_000;
const WARMUP_MS = 1_000;

/** Publishers writing into a sink that answers nothing but handshakes and QoS 1. */
export interface SinkResult {
  readonly messagesPerSecond: number;
  readonly publisherUsPerMessage: number | undefined;
  readonly publisherLoad: number | undefined;
}

export interface SelftestEntry {
  readonly scenario: Scenario;
  readonly sink: SinkResult;
  readonly forwarder: RunResult;
}

/** The load generator's ceiling, scenario by scenario. */
export interface SelftestReport {
  readonly machine: Machine;
  readonly warmupSeconds: number;
  readonly seconds: number;
  readonly entries: readonly SelftestEntry[];
}

/**
 * Measures the load generator itself, in each scenario against a sink and through a trivial forwarder. Rejects
 * when a run fails.
 */
export async function runSelftest(options: {
  readonly seconds: number;
  readonly scenarios: readonly Scenario[];
  readonly dataFolder: string;
  readonly onProgress: (line: string) => void;
}): Promise<SelftestReport> {
  const { seconds, scenarios, dataFolder, onProgress } = options;
  const timing = { warmupMs: WARMUP_MS, windowMs: seconds * 1_000 };
  const entries: SelftestEntry[] = [];
  for (const scenario of scenarios) {
    onProgress(`${scenario.name}: sink`);
    const sink = await runSink(scenario, timing, dataFolder);
    onProgress(`${scenario.name}: forwarder`);
    const forwarder = await runScenario(reference, scenario, timing, dataFolder);
    entries.push({ scenario, sink, forwarder });
  }
  const machine = describeMachine(dataFolder);
  return { machine, warmupSeconds: WARMUP_MS / 1_000, seconds, entries };
}

async function runSink(
  scenario: Scenario,
  timing: Timing,
  dataFolder: string,
): Promise<SinkResult> {
  return withBroker(reference, dataFolder, async (broker) => {
    const publisher = new LoadProcess<PublisherCommand, PublisherReport>("publisher.ts");
    const deadline = startDeadline(timing.warmupMs + timing.windowMs + OVERHEAD_MS_MAX);
    try {
      const load = publish(broker, publisher, scenario, timing);
      load.catch(() => {}); // loses the race when a process fails first
      return await Promise.race([load, broker.failed, publisher.failed, deadline.passed]);
    } finally {
      deadline.clear();
      publisher.close();
    }
  });
}

async function publish(
  broker: BrokerProcess,
  publisher: LoadProcess<PublisherCommand, PublisherReport>,
  scenario: Scenario,
  timing: Timing,
): Promise<SinkResult> {
  await publisher.ask(openPublisher(broker, scenario), "opened");
  publisher.tell({ kind: "start" });
  await delay(timing.warmupMs);
  const begin = await publisher.ask({ kind: "count" }, "counted");
  await delay(timing.windowMs);
  const end = await publisher.ask({ kind: "count" }, "counted");
  await publisher.ask({ kind: "stop" }, "stopped");
  if (end.unexpected > 0) throw new Error(`${end.unexpected} packets not expected`);
  const messages = end.sent - begin.sent;
  const windowMs = end.mark.atMs - begin.mark.atMs;
  const { publisher: before } = begin.mark;
  const { publisher: after } = end.mark;
  const us = before === undefined || after === undefined ? undefined : after.cpuUs - before.cpuUs;
  return {
    messagesPerSecond: (messages * 1_000) / windowMs,
    publisherUsPerMessage: ratio(us, messages),
    publisherLoad: ratio(us, windowMs * 1_000),
  };
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
