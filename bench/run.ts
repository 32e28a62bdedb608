import { rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import type {
  Mark,
  PublisherCommand,
  PublisherReport,
  PublisherTotals,
  SubscriberCommand,
  SubscriberReport,
  SubscriberTotals,
} from "./load/load-messages.ts";
import { LoadProcess } from "./load/load-process.ts";
import { encodePublish, encodePublishQos1 } from "./load/packets.ts";
import type { BrokerProcess } from "./peers/broker-process.ts";
import type { Peer } from "./peers/peer.ts";
import { readPeakRssBytes } from "./process-accounting.ts";
import { type RunResult, resultOf } from "./run-result.ts";
import { publisherTopic, qosOf, type Scenario } from "./scenario.ts";

/** What a run may take on top of its warm-up and window: connecting, stopping, draining. */
const RUN_OVERHEAD_MS_MAX = 60_000;

/** Every run's folder in use, so that none survives an interrupted bench. */
const folders = new Set<string>();
process.on("exit", () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** How long to load a broker. */
export interface Timing {
  readonly warmupMs: number;
  readonly windowMs: number;
}

/** The load generator's two processes. */
export interface Generator {
  readonly publisher: LoadProcess<PublisherCommand, PublisherReport>;
  readonly subscriber: LoadProcess<SubscriberCommand, SubscriberReport>;
}

/**
 * One run: a fresh broker, a fresh load generator, one scenario. Leaves no process and no file behind. Rejects
 * when a process fails, or nothing happens for too long.
 * @param dataFolder where the broker's folder is made
 */
export async function runScenario(
  peer: Peer,
  scenario: Scenario,
  timing: Timing,
  dataFolder: string,
): Promise<RunResult> {
  return withBroker(peer, dataFolder, async (broker) => {
    const generator: Generator = {
      publisher: new LoadProcess("publisher.ts"),
      subscriber: new LoadProcess("subscriber.ts"),
    };
    const { publisher, subscriber } = generator;
    const deadline = startDeadline(timing.warmupMs + timing.windowMs + RUN_OVERHEAD_MS_MAX);
    try {
      const load = drive(broker, generator, scenario, timing);
      load.catch(() => {}); // loses the race when a process fails first
      return await Promise.race([
        load,
        broker.failed,
        publisher.failed,
        subscriber.failed,
        deadline.passed,
      ]);
    } finally {
      deadline.clear();
      publisher.close();
      subscriber.close();
    }
  });
}

/** Starts `peer` in a folder of its own, hands it to `use`, stops it and removes the folder. */
export async function withBroker<Result>(
  peer: Peer,
  dataFolder: string,
  use: (broker: BrokerProcess) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(dataFolder, "rillmq-bench-"));
  folders.add(folder);
  try {
    const broker = await peer.start(folder);
    try {
      return await use(broker);
    } finally {
      await broker.stop();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
    folders.delete(folder);
  }
}

/** A promise that rejects after `ms`, and a way to call it off. */
export function startDeadline(ms: number): { readonly passed: Promise<never>; clear(): void } {
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`the run did not end within ${ms} ms`)), ms);
  });
  return { passed, clear: () => clearTimeout(timer) };
}

async function drive(
  broker: BrokerProcess,
  generator: Generator,
  scenario: Scenario,
  timing: Timing,
): Promise<RunResult> {
  const { publisher, subscriber } = generator;
  await subscriber.ask(openSubscriber(broker, publisher.pid, scenario, timing), "opened");
  await publisher.ask(openPublisher(broker, scenario), "opened");
  const measured = subscriber.next("measured");
  publisher.tell({ kind: "start" });
  const { begin, end }: { begin: Mark; end: Mark } = await withinWindow(measured, timing);
  const published: PublisherTotals = await publisher.ask({ kind: "stop" }, "stopped");
  const drain: SubscriberCommand = { kind: "drain", expected: published.sent };
  const received: SubscriberTotals = await subscriber.ask(drain, "drained");
  const peakRssBytes = readPeakRssBytes(broker.pid);
  return resultOf({ begin, end, published, received, peakRssBytes });
}

/** The measurement starts with the first message: without one it would never end. */
async function withinWindow<Report>(measured: Promise<Report>, timing: Timing): Promise<Report> {
  const waitMs = timing.warmupMs + timing.windowMs + 10_000;
  let timer: NodeJS.Timeout | undefined;
  const silent = new Promise<never>((_resolve, reject) => {
    const say = (): void => reject(new Error("the subscriber received nothing"));
    timer = setTimeout(say, waitMs);
  });
  try {
    return await Promise.race([measured, silent]);
  } finally {
    clearTimeout(timer);
  }
}

/** The command that prepares the publishers of a scenario. */
export function openPublisher(broker: BrokerProcess, scenario: Scenario): PublisherCommand {
  const { publishers, load, payloadBytes } = scenario;
  return { kind: "open", port: broker.port, publishers, load, payloadBytes };
}

function openSubscriber(
  broker: BrokerProcess,
  publisherPid: number,
  scenario: Scenario,
  timing: Timing,
): SubscriberCommand {
  const { topicFilter, isDurable, payloadBytes, load } = scenario;
  const qos = qosOf(load);
  const shape = { topic: publisherTopic(0), payloadBytes };
  const publish = qos === 0 ? encodePublish(shape) : encodePublishQos1(shape, 1);
  return {
    kind: "open",
    port: broker.port,
    topicFilter,
    qos,
    isDurable,
    publishBytes: publish.length,
    ...timing,
    brokerPid: broker.pid,
    publisherPid,
  };
}
