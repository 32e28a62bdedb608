import type { BrokerSetup } from "../peers/peer.ts";
import type { GeneratorOptions } from "./generator-process.ts";

/** Peers by name; see `suite-peers.ts`. */
export type PeerName =
  | "rillmq"
  | "rillmq-memory"
  | "mosquitto"
  | "mosquitto-persistent"
  | "aedes"
  | "nats"
  | "forwarder"
  | "append-only-file";

/** One thing to measure. */
export interface SuiteScenario {
  /** Name on the command line. */
  readonly name: string;
  readonly title: string;
  /** Heading under which it stands in the report. */
  readonly group: string;
  /** What its rate counts. */
  readonly unit: "messages" | "connections";
  readonly qos: 0 | 1 | 2;
  /** How many subscribers get each message; 0: nobody does. */
  readonly copies: number;
  readonly peers: readonly PeerName[];
  readonly setup: BrokerSetup;
  /** Phases that run to their end before the measured one. */
  readonly prepare: readonly GeneratorOptions[];
  readonly measure: GeneratorOptions;
}

const MEMORY: readonly PeerName[] = ["rillmq", "mosquitto", "aedes", "nats"];
const FLOOR: readonly PeerName[] = [...MEMORY, "forwarder"];
const BOTH: readonly PeerName[] = [...MEMORY, "rillmq-memory", "mosquitto-persistent"];
const PLAIN: BrokerSetup = { transport: "tcp", capturesAll: false };
const CAPTURED: BrokerSetup = { transport: "tcp", capturesAll: true };

const FAN_IN = { pubs: 50, subs: 1, topics: 50, filters: 1, shape: 1 };
const FAN_OUT = { pubs: 1, subs: 100, topics: 1, filters: 100, copies: 100 };
const PAIRS = { pubs: 20, subs: 20, topics: 20, filters: 20 };
const FOUR_TO_ONE = { pubs: 4, subs: 1, topics: 4, filters: 1, shape: 1 };
const INTO_NOTHING = { pubs: 4, topics: 4 };
/** Where few messages per second pass: so that a broker on a virtual machine has compiled its code, as one that runs for days has. */
const LONG_WARMUP = { warmup: 2_000 };
const PACED_WARMUP = { warmup: 4_000 };
const COLLECT = 2;
const IDLE = 1;
const RETAINED = 10_000;
const STORM_READERS = 20;
const BACKLOG = 50_000;

function scenario(
  group: string,
  name: string,
  title: string,
  peers: readonly PeerName[],
  measure: GeneratorOptions,
  rest: Partial<Pick<SuiteScenario, "setup" | "prepare" | "unit">> = {},
): SuiteScenario {
  const qos = Math.max(measure["pubqos"] ?? 0, measure["subqos"] ?? 0) as 0 | 1 | 2;
  const copies = (measure["subs"] ?? 0) === 0 ? 0 : (measure["copies"] ?? 1);
  const base = { setup: PLAIN, prepare: [], unit: "messages" as const };
  return { ...base, group, name, title, qos, copies, peers, measure, ...rest };
}

const ONE_AT_A_TIME: readonly SuiteScenario[] = [
  ["fan-in", "50 publishers to 1 subscriber", { ...FAN_IN, credit: 50 }] as const,
  ["fan-out", "1 publisher to 100 subscribers", { ...FAN_OUT, credit: 1 }] as const,
  ["pairs", "20 publishers to a subscriber each", { ...PAIRS, credit: 20 }] as const,
].map(([name, title, measure]) =>
  scenario("QoS 0, one at a time", name, `QoS 0, ${title}, one message at a time`, FLOOR, measure),
);

const BATCHED: readonly SuiteScenario[] = [
  ["fan-in-batched", "50 publishers to 1 subscriber", FAN_IN] as const,
  ["fan-out-batched", "1 publisher to 100 subscribers", FAN_OUT] as const,
  ["pairs-batched", "20 publishers to a subscriber each", PAIRS] as const,
].map(([name, title, measure]) =>
  scenario("QoS 0, batched", name, `QoS 0, ${title}, 32 messages per write`, FLOOR, {
    ...measure,
    batch: 32,
  }),
);

function windows(qos: 1 | 2): SuiteScenario[] {
  const both = { pubqos: qos, subqos: qos, ...(qos === 2 ? { clean: 0, ...LONG_WARMUP } : {}) };
  const one: readonly PeerName[] = qos === 1 ? [...BOTH, "forwarder"] : BOTH;
  const group = `QoS ${qos}`;
  const online = qos === 2 ? "durable session, online" : "clean session";
  const of = (window: number): SuiteScenario =>
    scenario(
      group,
      `qos${qos}-window-${window}`,
      `QoS ${qos}, 4 publishers with ${window} outstanding each to 1 subscriber (${online})`,
      BOTH,
      { ...FOUR_TO_ONE, ...both, window },
    );
  const first = scenario(
    group,
    `qos${qos}-window-1`,
    `QoS ${qos}, 20 publishers with 1 outstanding to a subscriber each (${online})`,
    one,
    { ...PAIRS, ...both, window: 1 },
  );
  return [first, of(20), of(100)];
}

function onDisk(subs: 0 | 1 | 10): SuiteScenario {
  const load = { ...INTO_NOTHING, pubqos: 1, window: 100 };
  const readers = { subs, filters: subs, shape: 1, copies: subs, subqos: 1, clean: 0 };
  return scenario(
    "QoS 1 on disk",
    `disk-${subs}`,
    `QoS 1, 4 publishers with 100 outstanding each, kept in a stream where there are streams, ${subs} durable subscribers`,
    BOTH,
    subs === 0 ? load : { ...load, ...readers },
    { setup: CAPTURED },
  );
}

function ingest(outstanding: 100 | 1_000): SuiteScenario {
  const pubs = outstanding === 100 ? 4 : 10;
  return scenario(
    "Durable ingest",
    `ingest-${outstanding}`,
    `QoS 1, 256 B, ${outstanding} outstanding over ${pubs} connections, into a stream; beside a file with group commit`,
    ["rillmq", "append-only-file"],
    { pubs, topics: pubs, pubqos: 1, window: outstanding / pubs, payload: 256 },
    { setup: CAPTURED },
  );
}

function latency(qos: 0 | 1): SuiteScenario {
  const measure = { ...PAIRS, rate: 5_000, latency: 1, ...PACED_WARMUP, pubqos: qos, subqos: qos };
  const title = `QoS ${qos}, 20 pairs, 5,000 messages/s in all, from before the write to after the read`;
  const peers = qos === 0 ? FLOOR : BOTH;
  return scenario("Latency at 5,000/s", `latency-qos${qos}`, title, peers, measure);
}

function subscriptions(count: number, hot: number): SuiteScenario {
  const load = {
    pubs: 20,
    subs: 10,
    topics: count,
    filters: count,
    shape: 2,
    credit: 20,
    ...LONG_WARMUP,
  };
  // Topics are seen for the first time during the warm-up, as many as a broker gets through.
  const where = hot > 0 ? `${hot} of the topics` : "all topics in turn";
  return scenario(
    "Cost growth",
    `subscriptions-${count}${hot > 0 ? "-hot" : ""}`,
    `QoS 0, ${count} subscriptions over 10 sessions, exact, with + and with #; ${where}`,
    ["rillmq", "mosquitto", "aedes"],
    { ...load, hot },
  );
}

function connected(count: number): SuiteScenario {
  const half = count / 2;
  return scenario(
    "Cost growth",
    `connections-${count}`,
    `QoS 0, ${half} pairs taking turns, 5 messages under way`,
    ["rillmq", "mosquitto", "aedes"],
    { pubs: half, subs: half, topics: half, filters: half, credit: 5, ...LONG_WARMUP },
  );
}

function transported(transport: "tls" | "websocket"): SuiteScenario {
  const name = transport === "tls" ? "TLS" : "WebSocket";
  return scenario(
    "Transports",
    transport,
    `QoS 0 over ${name}, 20 pairs, one message at a time`,
    ["rillmq", "mosquitto", "aedes"],
    { ...PAIRS, credit: 20, [transport]: 1 },
    { setup: { ...PLAIN, transport } },
  );
}

function payloads(name: string, payload: number, batch: number): SuiteScenario {
  return scenario(
    "Payloads",
    `payload-${name}`,
    `QoS 0, 20 pairs, ${payload} B, ${batch} messages per write`,
    ["rillmq", "mosquitto", "aedes", "forwarder"],
    { ...PAIRS, payload, batch },
  );
}

const KEPT: readonly SuiteScenario[] = [
  scenario(
    "Storms",
    "retained-storm",
    `${STORM_READERS} new subscribers get ${RETAINED} retained messages each`,
    MEMORY,
    {
      mode: COLLECT,
      subs: STORM_READERS,
      filters: 20,
      shape: 1,
      subqos: 1,
      expect: RETAINED * STORM_READERS,
    },
    {
      prepare: [{ pubs: 1, pubqos: 1, window: 100, topics: RETAINED, retain: 1, count: RETAINED }],
    },
  ),
  scenario(
    "Storms",
    "backlog-drain",
    `QoS 1, a durable session comes back to ${BACKLOG} messages`,
    BOTH,
    {
      mode: COLLECT,
      subs: 1,
      filters: 1,
      shape: 1,
      subqos: 1,
      clean: 0,
      resumed: 1,
      expect: BACKLOG,
    },
    {
      prepare: [
        { subs: 1, filters: 1, shape: 1, subqos: 1, clean: 0 },
        { ...INTO_NOTHING, pubqos: 1, window: 100, count: BACKLOG, run: 1 },
      ],
    },
  ),
];

/** Connections of the scenario `idle`; fewer where the system allows fewer open files. */
export const IDLE_CONNECTIONS = 10_000;

/** All scenarios in the order of the report: the picture nearest to real devices first. */
export const SUITE_SCENARIOS: readonly SuiteScenario[] = [
  ...ONE_AT_A_TIME,
  ...windows(1),
  ...windows(2),
  ...BATCHED,
  scenario(
    "QoS 1",
    "qos1-nothing",
    "QoS 1, 4 publishers with 100 outstanding, nobody listens",
    FLOOR,
    {
      ...INTO_NOTHING,
      pubqos: 1,
      window: 100,
    },
  ),
  onDisk(0),
  onDisk(1),
  onDisk(10),
  ingest(100),
  ingest(1_000),
  latency(0),
  latency(1),
  ...KEPT,
  scenario(
    "Idle connections",
    "idle",
    "connections that say nothing",
    MEMORY,
    {
      mode: IDLE,
      pubs: IDLE_CONNECTIONS,
    },
    { unit: "connections" },
  ),
  connected(10),
  connected(10_000),
  subscriptions(10, 0),
  subscriptions(100_000, 0),
  subscriptions(100_000, 100),
  transported("tls"),
  transported("websocket"),
  payloads("64", 64, 32),
  payloads("1k", 1_024, 32),
  payloads("16k", 16_384, 4),
];
