/** How publishers produce. */
export type Load =
  /** QoS 0, as fast as TCP takes it: one write of `packetsPerWrite` packets per connection and turn. */
  | { readonly kind: "flood"; readonly packetsPerWrite: number }
  /** QoS 1: `window` packets outstanding per connection, one more for each PUBACK. */
  | { readonly kind: "window"; readonly window: number };

/** One thing to measure, the same for every peer. */
export interface Scenario {
  /** Name on the command line. */
  readonly name: string;
  /** What it is, in one line of the report. */
  readonly title: string;
  /** Number of publishing connections, each with a topic of its own. */
  readonly publishers: number;
  readonly load: Load;
  readonly payloadBytes: number;
  /** The one subscription: every publisher's topic matches it. */
  readonly topicFilter: string;
  /** True for a session that outlives its connection, subscribed with QoS 1. */
  readonly isDurable: boolean;
}

/** Quality of service that a load publishes and its subscriber subscribes with. */
export function qosOf(load: Load): 0 | 1 {
  return load.kind === "flood" ? 0 : 1;
}

/** The topic of publisher `index`: as long as every other one's, so that all packets have one size. */
export function publisherTopic(index: number): string {
  return `bench/in/${String(index).padStart(3, "0")}`;
}

const TOPIC_FILTER = "bench/in/+";
const PAYLOAD_BYTES = 64;

/** The scenarios of `smoke`, in the order of the report: the picture nearest to real devices first. */
export const SMOKE_SCENARIOS: readonly Scenario[] = [
  {
    name: "fan-in-single",
    title: "QoS 0, 50 publishers to 1 subscriber, one at a time (one packet per write)",
    publishers: 50,
    load: { kind: "flood", packetsPerWrite: 1 },
    payloadBytes: PAYLOAD_BYTES,
    topicFilter: TOPIC_FILTER,
    isDurable: false,
  },
  {
    name: "fan-in-batched",
    title: "QoS 0, 50 publishers to 1 subscriber, batched (32 packets per write)",
    publishers: 50,
    load: { kind: "flood", packetsPerWrite: 32 },
    payloadBytes: PAYLOAD_BYTES,
    topicFilter: TOPIC_FILTER,
    isDurable: false,
  },
  {
    name: "qos1-durable",
    title: "QoS 1, 4 publishers with a window of 100 each to 1 durable subscriber, online",
    publishers: 4,
    load: { kind: "window", window: 100 },
    payloadBytes: PAYLOAD_BYTES,
    topicFilter: TOPIC_FILTER,
    isDurable: true,
  },
];
