/** One run: idle, backlog, load, SIGKILL, restart, drain; what each took. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodePublishQos1 } from "../../bench/load/packets.ts";
import { collect, leaveSubscription } from "./collector.ts";
import { ContainedBroker, type Installation, imageSettings } from "./contained-broker.ts";
import type { MemoryCgroup, MemoryUse } from "./memory-cgroup.ts";
import { Fleet } from "./paced-publisher.ts";

const PAYLOAD_BYTES = 256;
const TOPIC_PREFIX = "plant/line";
const IDLE_MS = 3_000;
const SAMPLE_MS = 100;
const PROBE_EVERY_MS = 5_000;
const QUIET_MS_MAX = 5_000;

/** What is measured. */
export interface FootprintOptions {
  readonly seconds: number;
  /** MiB. */
  readonly limit: number;
  /** Messages per second, of all connections together. */
  readonly rate: number;
  readonly connections: number;
  /** Messages that wait before the load begins. */
  readonly backlog: number;
  /** Scratch space on a disk: a tmpfs would be charged as memory. */
  readonly folder: string;
  /** Where `scripts/bundle.mjs` has put the bundle. */
  readonly bundle: string;
}

/** The most of each kind that was seen during a phase, in bytes. */
export interface Phase extends MemoryUse {
  readonly name: string;
}

/** What came out; bytes and milliseconds. */
export interface FootprintReport {
  readonly node: string;
  readonly flags: string;
  readonly limit: number;
  readonly phases: readonly Phase[];
  readonly peak: number | undefined;
  readonly startMs: number;
  readonly restartMs: number;
  readonly sent: number;
  readonly acknowledged: number;
  /** Median, 99th percentile, longest. */
  readonly latencyMs: readonly number[];
  readonly probes: number;
  readonly probesFailed: number;
  readonly drained: number;
  readonly kills: number;
  /** Empty: all is well. */
  readonly failures: readonly string[];
}

/** What the broker is given: a stream whose centre is away, and a durable session that wants everything. */
const configOf = (messages: number): object => ({
  streams: [{ name: "telemetry", filters: ["plant/#"], maxBytes: "1GiB" }],
  uplinks: [
    {
      name: "centre",
      driver: "mqtt",
      // Nobody listens there.
      url: "mqtt://127.0.0.1:1",
      backoffMaxMs: 2_000,
      lanes: [{ stream: "telemetry" }],
    },
  ],
  mqtt: { backlogMessagesMax: messages, backlogBytesMax: "1GiB" },
  log: { level: "warn" },
});

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Copies by a process of the cgroup: file pages belong to who read or wrote them first. */
function install(cgroup: MemoryCgroup, options: FootprintOptions): Installation {
  const { folder, bundle, backlog, rate, seconds } = options;
  const installation = {
    node: join(folder, "node"),
    bundle: join(folder, "app"),
    data: join(folder, "data"),
    config: join(folder, "edge.yaml"),
  };
  // JSON is YAML.
  writeFileSync(installation.config, JSON.stringify(configOf(backlog + rate * seconds + 1)));
  const copy = `cp ${process.execPath} ${installation.node} && cp -r ${bundle} ${installation.bundle}`;
  execFileSync(...cgroup.shell(copy));
  return installation;
}

class Run {
  readonly #cgroup: MemoryCgroup;
  readonly #options: FootprintOptions;
  readonly #installation: Installation;
  readonly #phases: Phase[] = [];
  readonly #failures: string[] = [];
  #probes = 0;
  #probesFailed = 0;

  constructor(cgroup: MemoryCgroup, options: FootprintOptions) {
    this.#cgroup = cgroup;
    this.#options = options;
    this.#installation = install(cgroup, options);
  }

  async measure(): Promise<FootprintReport> {
    let startMs = performance.now();
    let broker = await ContainedBroker.start(this.#cgroup, this.#installation);
    startMs = performance.now() - startMs;
    try {
      await this.#during("idle", () => pause(IDLE_MS));
      await this.#probe(broker);
      const load = await this.#load(broker);
      await broker.kill();
      let restartMs = performance.now();
      broker = await ContainedBroker.start(this.#cgroup, this.#installation);
      restartMs = performance.now() - restartMs;
      const drained = await this.#during("drain", () => this.#drain(broker.port, load.sent));
      if (drained < load.acknowledged) this.#failures.push("messages of the backlog are missing");
      return this.#report({ startMs, restartMs, drained, ...load });
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.#died()}${broker.output}`);
    } finally {
      await broker.kill();
    }
  }

  /** Backlog as fast as it goes, then the load that is asked for; probes all the while. */
  async #load(broker: ContainedBroker): Promise<Omit<FootprintReport, OwnFields>> {
    const { connections, backlog, rate, seconds } = this.#options;
    const { port } = broker;
    await leaveSubscription(port, "plant/#");
    const common = { port, connections, topicPrefix: TOPIC_PREFIX, payloadBytes: PAYLOAD_BYTES };
    const filling = await Fleet.open(common);
    await this.#during("backlog is made", () => filling.flood(backlog));
    filling.close();
    const filled = filling.totals();
    const fleet = await Fleet.open(common);
    let isLoaded = true;
    const probing = (async () => {
      while (isLoaded) {
        await this.#probe(broker);
        for (let ms = 0; ms < PROBE_EVERY_MS && isLoaded; ms += SAMPLE_MS) await pause(SAMPLE_MS);
      }
    })();
    await this.#during("load", () => fleet.run(rate, seconds));
    isLoaded = false;
    await probing;
    fleet.close();
    const loaded = fleet.totals();
    this.#check(loaded.lost + filled.lost > 0, "connections were lost");
    this.#check(loaded.unexpected + filled.unexpected > 0, "acknowledgements were out of order");
    this.#check(loaded.sent < rate * seconds, "the broker did not keep up");
    const sent = filled.sent + loaded.sent;
    const acknowledged = filled.acknowledged + loaded.acknowledged;
    this.#check(acknowledged < sent, "messages were not acknowledged");
    return { sent, acknowledged, latencyMs: [0.5, 0.99, 1].map((share) => fleet.latency(share)) };
  }

  /** Takes what waits for the durable session; resolves with how many messages came. */
  #drain(port: number, expected: number): Promise<number> {
    const publish = { topic: `${TOPIC_PREFIX}/000`, payloadBytes: PAYLOAD_BYTES };
    const publishBytes = encodePublishQos1(publish, 1).length;
    return collect({ port, publishBytes, expected, quietMs: QUIET_MS_MAX });
  }

  async #probe(broker: ContainedBroker): Promise<void> {
    this.#probes++;
    if (!(await broker.probe())) this.#probesFailed++;
  }

  /** Samples while something happens. */
  async #during<Result>(name: string, happens: () => Promise<Result>): Promise<Result> {
    const most = { anonymous: 0, cache: 0, kernel: 0, total: 0 };
    const sample = (): void => {
      const use = this.#cgroup.use();
      for (const key of ["anonymous", "cache", "kernel", "total"] as const) {
        most[key] = Math.max(most[key], use[key]);
      }
    };
    const timer = setInterval(sample, SAMPLE_MS);
    try {
      return await happens();
    } finally {
      clearInterval(timer);
      sample();
      this.#phases.push({ name, ...most });
    }
  }

  #check(isWrong: boolean, failure: string): void {
    if (isWrong) this.#failures.push(failure);
  }

  #died(): string {
    const kills = this.#cgroup.kills();
    return kills === 0 ? "" : `the kernel killed ${kills} for want of memory\n`;
  }

  #report(fields: Omit<FootprintReport, ReportFields>): FootprintReport {
    const kills = this.#cgroup.kills();
    this.#check(kills > 0, "the kernel killed for want of memory");
    this.#check(this.#probesFailed > 0, "readiness probes failed");
    return {
      node: `Node.js ${process.versions.node} ${process.arch}`,
      flags: imageSettings().flags.join(" "),
      limit: this.#options.limit * 1_048_576,
      phases: this.#phases,
      peak: this.#cgroup.peak(),
      probes: this.#probes,
      probesFailed: this.#probesFailed,
      kills,
      failures: this.#failures,
      ...fields,
    };
  }
}

type ReportFields =
  | "node"
  | "flags"
  | "limit"
  | "phases"
  | "peak"
  | "probes"
  | "probesFailed"
  | "kills"
  | "failures";
type OwnFields = ReportFields | "startMs" | "restartMs" | "drained";

/** Measures one run in a fresh cgroup. Rejects, saying what the broker said, when the broker does not start or ends. */
export function measureFootprint(
  cgroup: MemoryCgroup,
  options: FootprintOptions,
): Promise<FootprintReport> {
  return new Run(cgroup, options).measure();
}
