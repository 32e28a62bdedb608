/**
 * What durable sessions cost the broker: messages of a captured topic with QoS 1, a fixed number outstanding, delivered to subscribers that
 * keep up and acknowledge at once; sessions on disk (references with every commit) beside sessions that end with their connection.
 * Broker and store without sockets.
 *
 *     node --import tsx bench/session-bench.ts [--seconds 2] [--rounds 3] [--outstanding 100] [--folder DIR]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ANONYMOUS } from "../src/broker/authenticator.ts";
import { Authorization } from "../src/broker/authorization.ts";
import { Broker } from "../src/broker/broker.ts";
import { type Message, plainMessage } from "../src/broker/message.ts";
import { NO_ROUTING } from "../src/broker/routing.ts";
import { NEVER_MS, type Session } from "../src/broker/session.ts";
import type { Subscriber } from "../src/broker/subscriber.ts";
import type { Clock, Instant } from "../src/lib/clock.ts";
import { openLmdbStore } from "../src/store/lmdb-store.ts";
import { median } from "./statistics.ts";

const SUBSCRIBERS = [0, 1, 10, 100] as const;
const TOPIC = "sim/device-17/sensor";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "2" },
    rounds: { type: "string", default: "3" },
    outstanding: { type: "string", default: "100" },
    folder: { type: "string", default: tmpdir() },
  },
});
const seconds = Number(values.seconds);
const outstanding = Number(values.outstanding);

const LIMITS = {
  outbound: {
    inflightMax: 65_535,
    memoryBacklogBytesMax: 67_108_864,
    backlogMessagesMax: 1_000_000,
    backlogBytesMax: 1e9,
    backlogAgeMaxMs: undefined,
    backlogWhenFull: "drop-oldest" as const,
  },
  retained: { messagesMax: 0, bytesMax: 0, messagesPerUserMax: 0 },
  patterns: {
    streamsMax: 1,
    consumersMax: 0,
    requests: { requestsMax: 1, requestsPerClientMax: 1, timeoutMaxMs: 1, replyCacheBytesMax: 0 },
    queuesMax: 0,
    duplicates: { bytesMax: 0 },
    defaults: {
      bytesMax: 0,
      messagesMax: 0,
      deliveriesMax: 0,
      deadLetterQueue: undefined,
      visibilityMs: 0,
      expiryMs: 0,
      duplicateWindowMs: 0,
    },
  },
  pinBytesMax: 1e9,
  sessionsMax: 1_000,
  subscriptionsPerSessionMax: 10,
  sessionExpiryMaxMs: NEVER_MS,
};

/** Takes a message and acknowledges it in the next turn. */
class Reader implements Subscriber {
  readonly hasRoom = true;
  readonly receiveMaximum = 65_535;
  session: Session | undefined;
  delivered = 0;
  #unacknowledged: number[] = [];

  deliver(_message: Message, _qos: number, packetId: number): void {
    this.delivered++;
    if (this.#unacknowledged.length === 0) setImmediate(() => this.#acknowledge());
    this.#unacknowledged.push(packetId);
  }

  release(): void {
    throw new Error("nothing here is published with QoS 2");
  }

  end(): void {
    throw new Error("the broker ended a subscriber");
  }

  #acknowledge(): void {
    const packetIds = this.#unacknowledged;
    this.#unacknowledged = [];
    for (const packetId of packetIds) this.session?.outbound.acknowledge(packetId);
    this.session?.outbound.pump();
  }
}

interface Figures {
  readonly perSecond: number;
  readonly cpuMicros: number;
}

const nothing = (): void => undefined;
const SILENT = {
  onBacklogDropped: nothing,
  onSubscriptionRevoked: nothing,
  newToken: () => "",
  routing: NO_ROUTING,
  queues: [],
  onGivenUp: nothing,
  onConsumerLoss: nothing,
  onLoss: nothing,
};

async function measure(subscribers: number, isDurable: boolean): Promise<Figures> {
  const folder = mkdtempSync(join(values.folder, "session-bench-"));
  const store = openLmdbStore({ path: join(folder, "store.mdb") });
  const clock: Clock = {
    now: () => Date.now() as Instant,
    since: (stamp) => Date.now() - stamp,
    wallOf: (stamp) => stamp,
  };
  let published = 0;
  let flushed = 0;
  let sealed = 0;
  let isStopping = false;
  const broker = new Broker({
    store,
    clock,
    limits: LIMITS,
    authorizer: new Authorization(),
    system: undefined,
    ...SILENT,
    onTurnCut: () => setImmediate(() => broker.endTurn()),
    streams: [
      { name: "telemetry", filters: ["sim/#"], bytesMax: 1e9, whenFull: "drop-oldest" as const },
    ],
    deliveredBefore: () => undefined,
    onSealing: () => {
      sealed = published;
    },
    onFlushed: () => {
      flushed = sealed;
      if (!isStopping) setImmediate(fill);
    },
    onFailed: (error) => {
      throw error;
    },
  });
  broker.recover();
  for (let i = 0; i < subscribers; i++) {
    const subscriber = new Reader();
    const expiryMs = isDurable ? NEVER_MS : 0;
    const connected = broker.connect({
      clientId: `reader-${i}`,
      principal: ANONYMOUS,
      cleanStart: true,
      expiryMs,
      will: undefined,
      subscriber,
    });
    if (typeof connected === "string") throw new Error(connected);
    const { session } = connected;
    subscriber.session = session;
    const options = {
      qos: 1,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 2,
    } as const;
    const filters = [{ topicFilter: "sim/#", options: { ...options, subscriptionId: undefined } }];
    broker.subscribe(session, { filters, results: [] });
    session.attach(subscriber);
  }
  const message = messageOf(broker);
  function fill(): void {
    while (published - flushed < outstanding) {
      broker.publish(message, undefined);
      published++;
    }
  }
  fill();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const before = { published, cpu: process.cpuUsage(), at: performance.now() };
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  const count = published - before.published;
  const cpu = process.cpuUsage(before.cpu);
  const elapsed = (performance.now() - before.at) / 1_000;
  isStopping = true;
  await store.drain();
  // What was delivered last is acknowledged in the next turn, and forgotten with it.
  await new Promise((resolve) => setTimeout(resolve, 50));
  await store.drain();
  await store.close();
  rmSync(folder, { recursive: true });
  return { perSecond: count / elapsed, cpuMicros: (cpu.user + cpu.system) / count };
}

function messageOf(broker: Broker): Message {
  const bytes = new Uint8Array(64).map((_, i) => i);
  const message = plainMessage(broker.topics.of(TOPIC), bytes, Date.now() as Instant);
  return { ...message, publisherId: "device-17" };
}

const results = new Map<string, Figures[]>();
for (let round = 1; round <= Number(values.rounds); round++) {
  for (const subscribers of SUBSCRIBERS) {
    for (const isDurable of subscribers === 0 ? [false] : [false, true]) {
      const name = `${subscribers} ${isDurable ? "durable" : "not durable"}`;
      process.stderr.write(`round ${round}: ${name}\n`);
      const runs = results.get(name) ?? [];
      runs.push(await measure(subscribers, isDurable));
      results.set(name, runs);
    }
  }
}
process.stdout.write(`64 B, QoS 1, ${outstanding} outstanding, ${seconds} s, medians\n`);
for (const [name, runs] of results) {
  const rate = median(runs.map((run) => run.perSecond)) ?? 0;
  const cpu = median(runs.map((run) => run.cpuMicros)) ?? 0;
  const columns = [
    `${name} subscribers`.padEnd(28),
    `${(rate / 1_000).toFixed(0)} k messages/s`.padStart(18),
    `${cpu.toFixed(2)} µs/message`.padStart(18),
  ];
  process.stdout.write(`${columns.join("")}\n`);
}
