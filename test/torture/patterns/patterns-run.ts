/**
 * SIGKILL at every step of a queue's deliveries and of a stream's appends and reading. Senders, receivers, appenders and a group of
 * consumers keep a real broker busy; it dies at the step that is drawn, starts again on the same port and data folder, and
 * the clients go on. Ledgers see what is lost, doubled, comes back or is out of order.
 */
import { SeededRandom } from "../../../src/lib/random.ts";
import type { Subprotocol } from "../../../src/native/frame.ts";
import { openLmdbStore } from "../../../src/store/lmdb-store.ts";
import type { BrokerHome, BrokerProcess } from "../../support/broker-process.ts";
import { eventually } from "../../support/json-process.ts";
import type { Answer } from "../../support/native-client.ts";
import { readStream } from "../../support/stored-stream.ts";
import { KillPoint, STEPS, type Step } from "./kill-point.ts";
import { PatternClient } from "./pattern-client.ts";
import { QueueLedger } from "./queue-ledger.ts";
import { QueueReceiver } from "./queue-receiver.ts";
import { QUEUES, QueueSender } from "./queue-sender.ts";
import { nameOf, type Station } from "./station.ts";
import { STREAM, StreamAppender } from "./stream-appender.ts";
import { StreamConsumer } from "./stream-consumer.ts";
import { StreamLedger } from "./stream-ledger.ts";

/** A step that does not come in this time: something stands still. */
const STEP_MS_MAX = 20_000;
const DRAIN_MS_MAX = 30_000;
/** Longer than any delay or visibility that clients ask for. */
const HIDDEN_MS_MAX = 1_000;
/** Prime to the number of steps: neighbours in the list do not follow each other. */
const WALK = 8;

/** What a run is made of. */
export interface PatternOptions {
  readonly home: BrokerHome;
  readonly kills: number;
  readonly seed: number;
  readonly onProgress?: (line: string) => void;
}

/** What was found. */
export interface PatternReport {
  readonly kills: number;
  /** How many kills each step had. */
  readonly steps: Readonly<Partial<Record<Step, number>>>;
  /** Fewest requests without answer at a kill. */
  readonly waitingMin: number;
  readonly waitingMax: number;
  readonly queues: Readonly<Record<string, number>>;
  readonly stream: Readonly<Record<string, number>>;
  readonly faults: readonly string[];
}

/** Runs it; rejects when a broker does not start or a step does not come. */
export function runPatterns(options: PatternOptions): Promise<PatternReport> {
  return new PatternRun(options).run();
}

class PatternRun {
  readonly #options: PatternOptions;
  readonly #station: Station;
  readonly #queueLedger = new QueueLedger();
  readonly #streamLedger = new StreamLedger();
  readonly #faults: string[] = [];
  readonly #senders: QueueSender[];
  readonly #receivers: QueueReceiver[];
  readonly #appenders: StreamAppender[];
  readonly #consumers: StreamConsumer[];
  readonly #steps: Partial<Record<Step, number>> = {};
  #killPoint: KillPoint | undefined;
  #waitingMin = Number.POSITIVE_INFINITY;
  #waitingMax = 0;
  #port = 0;

  constructor(options: PatternOptions) {
    this.#options = options;
    const station = {
      random: new SeededRandom(options.seed),
      note: (step: Step) => {
        this.#killPoint?.note(step);
        // Senders that waited because too much was owed go on.
        if (step === "ack answered") for (const sender of this.#senders) sender.fill();
      },
      fault: (what: string) => {
        this.#faults.push(what);
      },
    };
    this.#station = station;
    const queues = this.#queueLedger;
    const stream = this.#streamLedger;
    const [binary, text] = ["rill.v1+msgpack", "rill.v1+json"] as const;
    const receiver = (name: string, subprotocol: Subprotocol, polls: boolean): QueueReceiver =>
      new QueueReceiver({ name, subprotocol }, QUEUES, polls, station, queues);
    this.#senders = [
      new QueueSender("s1", binary, station, queues),
      new QueueSender("s2", text, station, queues),
    ];
    this.#receivers = [
      receiver("r1", binary, false),
      receiver("r2", text, false),
      receiver("r3", binary, true),
    ];
    this.#appenders = [
      new StreamAppender("a1", binary, station, stream),
      new StreamAppender("a2", text, station, stream),
    ];
    this.#consumers = [
      new StreamConsumer("c1", binary, station, stream),
      new StreamConsumer("c2", text, station, stream),
    ];
  }

  async run(): Promise<PatternReport> {
    const { kills, seed, onProgress } = this.#options;
    for (let kill = 0; kill < kills; kill++) {
      const step = STEPS[(kill * WALK + seed) % STEPS.length] ?? "send";
      await this.#round(step);
      onProgress?.(`kill ${kill + 1} at "${step}": ${this.#queueLedger.settled} settled`);
      if (this.#found.length > 0) break;
    }
    await this.#finish();
    const { sent, promised, delivered, settled, deadLetters, repeated } = this.#queueLedger;
    const stream = this.#streamLedger;
    return {
      kills,
      steps: this.#steps,
      waitingMin: this.#waitingMin,
      waitingMax: this.#waitingMax,
      queues: { sent, promised, delivered, settled, deadLetters, repeated },
      stream: {
        appended: stream.appended,
        answered: stream.answered,
        repeated: stream.repeated,
        delivered: stream.delivered,
        settled: stream.settled,
      },
      faults: this.#found,
    };
  }

  get #found(): string[] {
    return [...this.#faults, ...this.#queueLedger.faults, ...this.#streamLedger.faults];
  }

  get #clients(): (QueueSender | QueueReceiver | StreamAppender | StreamConsumer)[] {
    return [...this.#receivers, ...this.#consumers, ...this.#senders, ...this.#appenders];
  }

  /** Starts a broker, loads it and kills it at a step. */
  async #round(step: Step): Promise<void> {
    const broker = await this.#start();
    let isStruck = false;
    const struck = new Promise<void>((resolve) => {
      this.#killPoint = new KillPoint(step, this.#station.random, () => {
        broker.signal("SIGKILL");
        isStruck = true;
        this.#noteWaiting();
        resolve();
      });
    });
    // It may die before all are there.
    await this.#connect(broker).catch((error: unknown) => {
      if (!isStruck) throw error;
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((_, reject) => {
      timer = setTimeout(async () => {
        const state = await this.#stateOf(broker).catch((error: unknown) => String(error));
        reject(new Error(`no "${step}" in ${STEP_MS_MAX} ms\n${state}\n${broker.stderr}`));
      }, STEP_MS_MAX);
    });
    try {
      await Promise.race([struck, late]).catch((error: unknown) => {
        // What was found says more than that a step does not come.
        if (this.#found.length === 0) throw error;
      });
    } finally {
      clearTimeout(timer);
    }
    this.#killPoint = undefined;
    this.#steps[step] = (this.#steps[step] ?? 0) + 1;
    await broker.kill();
    for (const { client } of this.#clients) client.drop();
  }

  #noteWaiting(): void {
    const waiting = this.#clients.reduce((sum, { client }) => sum + client.waiting, 0);
    this.#waitingMin = Math.min(this.#waitingMin, waiting);
    this.#waitingMax = Math.max(this.#waitingMax, waiting);
  }

  async #start(): Promise<BrokerProcess> {
    const broker = await this.#options.home.start({
      config: { listeners: [{ url: `rill://127.0.0.1:${this.#port}` }] },
    });
    if (this.#port === 0) await this.#createStream(broker);
    this.#port = broker.port;
    return broker;
  }

  /** One that keeps what its consumers have, to be looked at in the end. */
  async #createStream(broker: BrokerProcess): Promise<void> {
    const client = new PatternClient("maker", "rill.v1+msgpack");
    await client.connect(broker.urls[0] ?? "");
    const request = { op: "stream.create", stream: STREAM, retain: "limits" };
    const answer = await new Promise<Answer>((resolve) => client.ask(request, resolve));
    client.drop();
    if (answer.op !== "ok") throw new Error(JSON.stringify(answer));
  }

  async #connect(broker: BrokerProcess): Promise<void> {
    const [url = ""] = broker.urls;
    const all = await Promise.allSettled(this.#clients.map((client) => client.connect(url)));
    for (const one of all) if (one.status === "rejected") throw one.reason;
  }

  /** What stands still: for whom the ledgers and the broker's queues wait, a line each. */
  async #stateOf(broker: BrokerProcess): Promise<string> {
    const clients = this.#clients.map(
      ({ client }) => `${client.clientId} ${client.isConnected} ${client.waiting}`,
    );
    const peeker = new PatternClient("looker", "rill.v1+json");
    await peeker.connect(broker.urls[0] ?? "");
    const asked = QUEUES.map(
      (queue) =>
        new Promise<string>((resolve) => {
          peeker.ask({ op: "queue.info", queue }, (answer) => resolve(JSON.stringify(answer)));
        }),
    );
    const infos = await Promise.all(asked);
    peeker.drop();
    const owed = `owed ${this.#queueLedger.owed}, in streams ${this.#streamLedger.waiting}`;
    return [owed, ...clients, ...infos].join("\n");
  }

  /** Nothing new is sent; what there is is taken and acknowledged. */
  async #finish(): Promise<void> {
    for (const sender of this.#senders) sender.isSending = false;
    for (const appender of this.#appenders) appender.isSending = false;
    for (const receiver of this.#receivers) receiver.isDraining = true;
    for (const consumer of this.#consumers) consumer.isDraining = true;
    const broker = await this.#start();
    await this.#connect(broker);
    const isOpen = (): boolean =>
      [...this.#senders, ...this.#appenders].some(({ open }) => open > 0);
    const isEmpty = (): boolean =>
      !isOpen() && this.#queueLedger.missing().length + this.#streamLedger.waiting === 0;
    // What never comes is the report's business.
    await eventually("all is settled", isEmpty, DRAIN_MS_MAX).catch(() => undefined);
    await this.#drainQueues(broker);
    this.#queueLedger.close();
    for (const { client } of this.#clients) client.drop();
    await broker.stop();
    const store = openLmdbStore({ path: this.#options.home.storePath });
    try {
      const stored = readStream(store, STREAM);
      this.#streamLedger.close(
        stored.map(({ sequence, payload }) => ({ sequence, payload: nameOf(payload) })),
      );
    } finally {
      await store.close();
    }
  }

  /** What no ledger waits for may be there, too: nothing may stay. */
  async #drainQueues(broker: BrokerProcess): Promise<void> {
    const client = new PatternClient("peeker", "rill.v1+msgpack");
    await client.connect(broker.urls[0] ?? "");
    const rest = new Map<string, number>(QUEUES.map((queue) => [queue, 1]));
    const emptyAt = Date.now() + HIDDEN_MS_MAX;
    const look = (): boolean => {
      for (const queue of client.waiting > 0 ? [] : QUEUES) {
        client.ask({ op: "peek", queue, max: 100 }, ({ messages }) => {
          rest.set(queue, (messages as readonly unknown[] | undefined)?.length ?? 0);
        });
      }
      return Date.now() > emptyAt && [...rest.values()].every((count) => count === 0);
    };
    const what = (): string => JSON.stringify([...rest]);
    await eventually("the queues are empty", look, DRAIN_MS_MAX).catch(() => {
      this.#station.fault(`left in queues: ${what()}`);
    });
    client.drop();
  }
}
