/**
 * SIGKILL at random under load, and what is left. Four publishers (QoS 1 and 2, 3.1.1 and 5) keep a window full, two of
 * them into a topic that a stream captures; a durable subscriber, now and then offline for a round, gets everything. All
 * clients resume their sessions on the same port and data folder after each kill.
 */
import { SeededRandom } from "../../../src/lib/random.ts";
import { ProtocolVersion } from "../../../src/mqtt/packet.ts";
import { openLmdbStore } from "../../../src/store/lmdb-store.ts";
import type { BrokerHome, BrokerProcess } from "../../support/broker-process.ts";
import { DurableClient } from "../../support/durable-client.ts";
import { eventually } from "../../support/json-process.ts";
import { readStream } from "../../support/stored-stream.ts";
import { Ledger, type LedgerReport, payloadOf } from "./ledger.ts";

/** How likely an acknowledgement makes a publisher fill its window again; at half of it, it always does. */
const FILL_SHARE = 0.1;
/** Receive Maximum of the broker. */
const OUTSTANDING_MAX = 100;
const KILL_DELAY_MS_MAX = 25;
/** How likely the subscriber sits a round out, and how likely a broker dies while it starts. */
const OFFLINE_SHARE = 0.25;
const EARLY_KILL_SHARE = 0.15;
const EARLY_KILL_MS_MAX = 1_500;
const PROGRESS_MS_MAX = 20_000;
const STREAM = "captured";

const PUBLISHERS = [
  { name: "p1", qos: 1, version: ProtocolVersion.v311, topic: "kill/plain/p1", window: 57 },
  { name: "p2", qos: 2, version: ProtocolVersion.v311, topic: `kill/${STREAM}/p2`, window: 71 },
  { name: "p3", qos: 1, version: ProtocolVersion.v5, topic: `kill/${STREAM}/p3`, window: 83 },
  { name: "p4", qos: 2, version: ProtocolVersion.v5, topic: "kill/plain/p4", window: 47 },
] as const;

/** What a run is made of. */
export interface KillOptions {
  readonly home: BrokerHome;
  readonly kills: number;
  readonly seed: number;
  /** Acknowledgements in each round before its kill, at least. */
  readonly acknowledgedPerKill: number;
  readonly onProgress?: (line: string) => void;
}

/** What was found. */
export interface KillReport {
  readonly kills: number;
  /** Fewest messages without any acknowledgement at a kill. */
  readonly outstandingMin: number;
  /** What the durable subscriber got. */
  readonly subscriber: LedgerReport;
  /** What the stream held on disk after the last kill, of the publishers that it captures. */
  readonly stream: LedgerReport;
  /** What broke the protocol. */
  readonly faults: readonly string[];
}

/** Runs it; rejects when a broker does not start or nothing moves any more. */
export function runKills(options: KillOptions): Promise<KillReport> {
  return new KillRun(options).run();
}

/** True when nothing was lost, nothing came twice with QoS 2, and order held. */
export function isClean({ subscriber, stream, faults }: KillReport): boolean {
  const broken = (report: LedgerReport): number =>
    report.lost + report.duplicated + report.orderViolations + report.unknown;
  return broken(subscriber) === 0 && broken(stream) === 0 && faults.length === 0;
}

class KillRun {
  readonly #options: KillOptions;
  readonly #random: SeededRandom;
  readonly #ledger = new Ledger();
  readonly #faults: string[] = [];
  readonly #publishers: DurableClient[];
  readonly #subscriber: DurableClient;
  #isPublishing = true;
  #outstandingMin = Number.POSITIVE_INFINITY;
  #port = 0;

  constructor(options: KillOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#publishers = PUBLISHERS.map((_, index) => this.#publisher(index));
    this.#subscriber = new DurableClient("subscriber", ProtocolVersion.v5, {
      onMessage: ({ payload }) => this.#ledger.arrive(payload),
      onFault: (what) => this.#faults.push(what),
    });
  }

  async run(): Promise<KillReport> {
    const { kills, onProgress } = this.#options;
    let broker = await this.#start();
    this.#port = broker.port;
    await this.#subscriber.connect(this.#port);
    await this.#subscriber.subscribe("kill/#", 2);
    await this.#connectPublishers();
    for (let kill = 1; kill <= kills; kill++) {
      await this.#load();
      await this.#kill(broker);
      onProgress?.(`kill ${kill}: ${this.#ledger.acknowledgedCount} acknowledged`);
      if (kill === kills) break;
      await this.#killEarly();
      broker = await this.#start();
      await this.#connectPublishers();
      if (this.#random.next() >= OFFLINE_SHARE) await this.#subscriber.connect(this.#port);
    }
    const stream = await this.#readStream();
    broker = await this.#start();
    await this.#drain(broker);
    await broker.kill();
    return {
      kills,
      outstandingMin: this.#outstandingMin,
      subscriber: this.#ledger.report(),
      stream,
      faults: this.#faults,
    };
  }

  #publisher(index: number): DurableClient {
    const { name, qos, version, window } = PUBLISHERS[index] ?? PUBLISHERS[0];
    this.#ledger.open(name, qos);
    return new DurableClient(name, version, {
      onAcknowledged: (number) => {
        this.#ledger.acknowledge(name, number);
        const { unacknowledged } = this.#publishers[index] ?? { unacknowledged: 0 };
        if (unacknowledged <= window / 2 || this.#random.next() < FILL_SHARE) this.#fill(index);
      },
      onRefused: (number, code) => this.#faults.push(`${name}#${number} refused with ${code}`),
      onFault: (what) => this.#faults.push(what),
    });
  }

  /** Publishes until the window is full; only while there is a connection. */
  #fill(index: number): void {
    const client = this.#publishers[index];
    const { name, qos, topic, window } = PUBLISHERS[index] ?? PUBLISHERS[0];
    if (!this.#isPublishing || client?.isConnected !== true) return;
    // The broker's Receive Maximum counts QoS 2 until PUBREL.
    while (client.unacknowledged < window && client.outstanding < OUTSTANDING_MAX) {
      const number = this.#ledger.issue(name);
      client.publish(topic, payloadOf(name, number), qos, number);
    }
  }

  async #connectPublishers(): Promise<void> {
    for (const [index, client] of this.#publishers.entries()) {
      await client.connect(this.#port);
      this.#fill(index);
    }
  }

  #start(): Promise<BrokerProcess> {
    return this.#options.home.start({
      port: this.#port,
      config: { streams: [{ name: STREAM, filters: [`kill/${STREAM}/#`] }] },
    });
  }

  /** Waits for the acknowledgements that a round wants. */
  async #load(): Promise<void> {
    const { acknowledgedPerKill } = this.#options;
    const goal =
      this.#ledger.acknowledgedCount +
      acknowledgedPerKill +
      Math.floor((this.#random.next() * acknowledgedPerKill) / 4);
    await eventually(
      `${goal} messages are acknowledged`,
      () => this.#ledger.acknowledgedCount >= goal,
      PROGRESS_MS_MAX,
      () => JSON.stringify(this.#ledger.report()),
    );
    await this.#pause(KILL_DELAY_MS_MAX);
  }

  /** Chance, not synchronisation: the kill may hit any moment. */
  #pause(msMax: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, this.#random.next() * msMax));
  }

  async #kill(broker: BrokerProcess): Promise<void> {
    let outstanding = 0;
    for (const { unacknowledged } of this.#publishers) outstanding += unacknowledged;
    this.#outstandingMin = Math.min(this.#outstandingMin, outstanding);
    await broker.kill();
    await Promise.all(this.#publishers.map((client) => client.drop()));
    await this.#subscriber.drop();
  }

  /** Sometimes a broker dies while it starts, too. */
  async #killEarly(): Promise<void> {
    if (this.#random.next() >= EARLY_KILL_SHARE) return;
    const broker = this.#options.home.spawn({ port: this.#port });
    await this.#pause(EARLY_KILL_MS_MAX);
    await broker.kill();
  }

  async #readStream(): Promise<LedgerReport> {
    const captured = PUBLISHERS.filter(({ topic }) => topic.includes(STREAM));
    const ledger = this.#ledger.forAnotherSink(captured.map(({ name }) => name));
    const store = openLmdbStore({ path: this.#options.home.storePath });
    try {
      for (const { payload } of readStream(store, STREAM)) ledger.arrive(payload);
    } finally {
      await store.close();
    }
    return ledger.report();
  }

  /** Nothing new; everything under way is finished and delivered. */
  async #drain(broker: BrokerProcess): Promise<void> {
    this.#isPublishing = false;
    await this.#connectPublishers();
    await this.#subscriber.connect(this.#port);
    await eventually(
      "everything is acknowledged",
      () => this.#publishers.every(({ outstanding }) => outstanding === 0),
      PROGRESS_MS_MAX,
      () => broker.stderr,
    );
    // What never comes is the report's business.
    await eventually("all came", () => this.#ledger.isComplete, PROGRESS_MS_MAX).catch(
      () => undefined,
    );
  }
}
