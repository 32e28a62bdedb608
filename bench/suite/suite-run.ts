import type { BrokerProcess } from "../peers/broker-process.ts";
import type { Peer } from "../peers/peer.ts";
import {
  type ProcessUsage,
  type ProcessWork,
  readProcessMemory,
  readProcessUsage,
  readProcessWork,
} from "../process-accounting.ts";
import { startDeadline, type Timing, withBroker } from "../run.ts";
import { ratio } from "../statistics.ts";
import {
  type Counted,
  type Done,
  type GeneratorOptions,
  GeneratorProcess,
} from "./generator-process.ts";
import type { SuiteScenario } from "./suite-scenario.ts";

/** What a run may take in all. */
const RUN_MS_MAX = 150_000;
/** A broker that has just accepted its last connection settles for so long before its memory is read. */
const SETTLE_MS = 300;

/** What one run brought, by name: `undefined` is what the system or the scenario does not give. */
export interface SuiteResult {
  /** Delivered per second; without subscribers acknowledged; of idle connections those opened. */
  readonly perSecond: number | undefined;
  /** Processor time of all threads, per message or connection. */
  readonly brokerUs: number | undefined;
  /** Processor time over the window: 1 is one core. */
  readonly brokerLoad: number | undefined;
  readonly generatorLoad: number | undefined;
  readonly contextSwitches: number | undefined;
  readonly diskBytes: number | undefined;
  readonly perRead: number | undefined;
  readonly perWrite: number | undefined;
  readonly peakBytes: number | undefined;
  readonly anonymousBytes: number | undefined;
  /** Of idle connections: what one more costs in resident memory, and what the broker took before the first. */
  readonly bytesPerConnection: number | undefined;
  readonly idleBytes: number | undefined;
  readonly p50Us: number | undefined;
  readonly p99Us: number | undefined;
  readonly p999Us: number | undefined;
  /** Published and not delivered to every subscriber once all was quiet; `undefined` when it never was. */
  readonly dropped: number | undefined;
  /** The same of what was acknowledged to its publisher: a promise broken. */
  readonly acknowledgedNotDelivered: number | undefined;
  /** The measured window, in milliseconds on the monotonic clock. */
  readonly window?: readonly [from: number, to: number];
  /** Why the counts cannot be right. */
  readonly faults: readonly string[];
}

const NOTHING: SuiteResult = {
  perSecond: undefined,
  brokerUs: undefined,
  brokerLoad: undefined,
  generatorLoad: undefined,
  contextSwitches: undefined,
  diskBytes: undefined,
  perRead: undefined,
  perWrite: undefined,
  peakBytes: undefined,
  anonymousBytes: undefined,
  bytesPerConnection: undefined,
  idleBytes: undefined,
  p50Us: undefined,
  p99Us: undefined,
  p999Us: undefined,
  dropped: undefined,
  acknowledgedNotDelivered: undefined,
  faults: [],
};

/** One end of the window. */
interface Mark {
  readonly counted: Counted;
  readonly broker: ProcessUsage | undefined;
  readonly work: ProcessWork;
  readonly generator: ProcessUsage | undefined;
}

/**
 * One run of one scenario: a fresh broker, its phases one after the other. Leaves no process and no file behind. Rejects when
 * something fails or takes too long.
 */
export async function runSuiteScenario(
  peer: Peer,
  scenario: SuiteScenario,
  timing: Timing,
  dataFolder: string,
): Promise<SuiteResult> {
  const deadline = startDeadline(RUN_MS_MAX);
  try {
    return await withBroker(
      { ...peer, start: (folder) => peer.start(folder, scenario.setup) },
      dataFolder,
      async (broker) => {
        const run = new SuiteRun(broker, scenario, timing);
        const result = run.result();
        result.catch(() => {}); // loses the race when the broker fails first
        try {
          return await Promise.race([result, broker.failed, deadline.passed]);
        } finally {
          await run.close();
        }
      },
    );
  } finally {
    deadline.clear();
  }
}

class SuiteRun {
  readonly #broker: BrokerProcess;
  readonly #scenario: SuiteScenario;
  readonly #timing: Timing;
  #generator: GeneratorProcess | undefined;

  constructor(broker: BrokerProcess, scenario: SuiteScenario, timing: Timing) {
    this.#broker = broker;
    this.#scenario = scenario;
    this.#timing = timing;
  }

  async result(): Promise<SuiteResult> {
    const { prepare, measure, unit } = this.#scenario;
    for (const phase of prepare) {
      const generator = this.#start(phase);
      await generator.next("opened");
      if ((phase["count"] ?? 0) > 0) {
        await generator.next("begin");
        await generator.next("end");
      }
      await generator.next("done");
      await generator.close();
    }
    return unit === "connections" ? this.#idle(measure) : this.#measured(measure);
  }

  /** Ends whatever generator runs. */
  async close(): Promise<void> {
    await this.#generator?.close();
  }

  #start(options: GeneratorOptions): GeneratorProcess {
    const { warmupMs, windowMs } = this.#timing;
    const generator = new GeneratorProcess(this.#broker.port, {
      warmup: Math.round(warmupMs),
      ms: Math.round(windowMs),
      ...options,
    });
    this.#generator = generator;
    return generator;
  }

  async #measured(options: GeneratorOptions): Promise<SuiteResult> {
    const generator = this.#start(options);
    // A collector's window begins before it connects.
    const isCollector = options["expect"] !== undefined;
    if (!isCollector) await generator.next("opened");
    const begin = this.#mark(await generator.next("begin"), generator);
    if (isCollector) await generator.next("opened");
    const end = this.#mark(await generator.next("end"), generator);
    const done = await generator.next("done");
    const memory = readProcessMemory(this.#broker.pid);
    const { peakBytes, anonymousBytes } = memory;
    const counts = countsOf(this.#scenario, end.counted.messages - begin.counted.messages, done);
    const latency = done.latencyUs;
    return {
      ...NOTHING,
      ...figuresBetween(begin, end),
      ...counts,
      window: [begin.counted.ms, end.counted.ms],
      peakBytes,
      anonymousBytes,
      p50Us: latency?.p50,
      p99Us: latency?.p99,
      p999Us: latency?.p999,
    };
  }

  async #idle(options: GeneratorOptions): Promise<SuiteResult> {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const { pid } = this.#broker;
    const before = readProcessMemory(pid).rssBytes;
    const usage = readProcessUsage(pid);
    const { seconds, connections } = await this.#start(options).next("opened");
    const cpuUs = growth(usage?.cpuUs, readProcessUsage(pid)?.cpuUs);
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const { rssBytes, anonymousBytes, peakBytes } = readProcessMemory(pid);
    return {
      ...NOTHING,
      perSecond: connections / seconds,
      brokerUs: ratio(cpuUs, connections),
      idleBytes: before,
      bytesPerConnection: ratio(growth(before, rssBytes), connections),
      anonymousBytes,
      peakBytes,
    };
  }

  #mark(counted: Counted, generator: GeneratorProcess): Mark {
    const { pid } = this.#broker;
    return {
      counted,
      broker: readProcessUsage(pid),
      work: readProcessWork(pid),
      generator: readProcessUsage(generator.pid),
    };
  }
}

function growth(before: number | undefined, after: number | undefined): number | undefined {
  return before === undefined || after === undefined ? undefined : after - before;
}

function figuresBetween(begin: Mark, end: Mark): Partial<SuiteResult> {
  const messages = end.counted.messages - begin.counted.messages;
  const ms = end.counted.ms - begin.counted.ms;
  const brokerUs = growth(begin.broker?.cpuUs, end.broker?.cpuUs);
  const generatorUs = growth(begin.generator?.cpuUs, end.generator?.cpuUs);
  const switches = growth(begin.work.contextSwitches, end.work.contextSwitches);
  const diskBytes = growth(begin.work.bytesWritten, end.work.bytesWritten);
  return {
    perSecond: ratio(messages * 1_000, ms),
    brokerUs: ratio(brokerUs, messages),
    brokerLoad: ratio(brokerUs, ms * 1_000),
    generatorLoad: ratio(generatorUs, ms * 1_000),
    contextSwitches: ratio(switches, messages),
    diskBytes: ratio(diskBytes, messages),
    perRead: ratio(messages, growth(begin.broker?.readCalls, end.broker?.readCalls)),
    perWrite: ratio(messages, growth(begin.broker?.writeCalls, end.broker?.writeCalls)),
  };
}

/** What became of the messages, over the whole run. */
export function countsOf(
  { measure, copies, qos }: Pick<SuiteScenario, "measure" | "copies" | "qos">,
  messages: number,
  done: Omit<Done, "event">,
): Pick<SuiteResult, "dropped" | "acknowledgedNotDelivered" | "faults"> {
  const delivered = done.received - done.redelivered;
  const expected = measure["expect"] ?? done.sent * copies;
  const acknowledged = measure["expect"] ?? done.acknowledged * copies;
  const missing = (from: number): number | undefined =>
    done.isDrained ? Math.max(0, from - delivered) : undefined;
  const faults: string[] = [];
  if (messages === 0) faults.push("no message in the measured window");
  if (delivered > expected) faults.push(`received ${delivered} of ${expected}`);
  if (done.unexpected > 0) faults.push(`${done.unexpected} packets not expected`);
  return {
    dropped: copies === 0 ? undefined : missing(expected),
    acknowledgedNotDelivered: copies === 0 || qos === 0 ? undefined : missing(acknowledged),
    faults,
  };
}
