/**
 * Metrics for Prometheus. The hot path counts in plain numbers; here they are read when somebody asks. Only flushes are observed as they
 * happen, one call per commit.
 */
import { readdirSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Counters } from "../broker/counters.ts";
import type { AllPatternCounts, PatternCounts } from "../broker/pattern-counts.ts";

export interface StreamView {
  readonly name: string;
  readonly messages: number;
  readonly bytes: number;
  /** Age of the oldest on disk; 0: there is none. */
  readonly oldestSeconds: number;
}

export interface QueueView {
  readonly name: string;
  /** Not settled, delayed ones among them. */
  readonly messages: number;
  readonly bytes: number;
  /** In somebody's hands, or rejected with a delay. */
  readonly inflight: number;
  readonly delayed: number;
  /** Given up, and waiting for room in their dead letter queue. */
  readonly held: number;
  /** Who takes messages: subscriptions, and long polls that wait. */
  readonly receivers: number;
  /** Age of the oldest on disk; 0: there is none. */
  readonly oldestSeconds: number;
}

export interface ConsumerView {
  readonly stream: string;
  readonly name: string;
  /** Records that are not settled. */
  readonly lag: number;
  readonly unacked: number;
  /** Given up, and waiting for room in the dead letter stream. */
  readonly held: number;
  /** Connections that share it. */
  readonly members: number;
  /** Age of the oldest record that is not settled; 0: there is none. */
  readonly lagSeconds: number;
}

export interface RequestView {
  /** Requests without reply yet. */
  readonly waiting: number;
  /** Bytes of replies that are kept. */
  readonly cacheBytes: number;
}

export interface LaneView {
  readonly name: string;
  readonly stream: string;
  /** State of its state machine, such as `blocked`. */
  readonly state: string;
  /** Records never delivered since the start, all of them in the loss ledger. */
  readonly dropped: number;
  /** Records and bytes not yet acknowledged by the remote. */
  readonly lagMessages: number;
  readonly lagBytes: number;
  /** Age of the oldest of them in seconds; 0: there is none. */
  readonly oldestUnsentSeconds: number;
  /** Totals since the start. */
  readonly acknowledged: number;
  readonly resent: number;
  /** Found stored at the remote, though unacknowledged, when it was asked after a reconnect. */
  readonly reconciled: number;
}

export interface UplinkView {
  readonly name: string;
  /** State of its state machine, such as `streaming`. */
  readonly state: string;
  /** Dead letters on disk. */
  readonly deadLetters: number;
  readonly lanes: readonly LaneView[];
}

/** What listeners refused or ended, and certificates read while running; totals by reason and result. */
export interface NetworkView {
  readonly dropped: readonly (readonly [reason: string, count: number])[];
  /** Bytes of MQTT, and connections that were accepted by a listener. */
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly opened: number;
  /** Output that the kernel does not have yet. */
  readonly bytesWaiting: number;
  readonly certificates: readonly (readonly [result: string, count: number])[];
}

/** Where the metrics come from; asked once per scrape. */
export interface MetricsSource {
  network(): NetworkView;
  counters(): Readonly<Counters>;
  connections(): number;
  sessions(): { readonly online: number; readonly offline: number };
  /** Retained messages with their bytes, and subscriptions of all sessions. */
  kept(): {
    readonly retainedMessages: number;
    readonly retainedBytes: number;
    readonly subscriptions: number;
  };
  store(): {
    readonly liveBytes: number;
    /** Of them, those of sessions, wills, retained messages and progress. */
    readonly tableBytes: number;
    readonly pendingBytes: number;
  };
  streams(): readonly StreamView[];
  queues(): readonly QueueView[];
  consumers(): readonly ConsumerView[];
  requests(): RequestView;
  patterns(): AllPatternCounts;
  /** Requests of native clients, by what was asked and what was said. */
  nativeRequests(): Iterable<readonly [op: string, code: string, count: number]>;
  uplinks(): readonly UplinkView[];
}

export interface Metrics {
  readonly contentType: string;
  /** The metrics in the text format of Prometheus. */
  text(): Promise<string>;
  /** A commit took this long from seal to flushed. */
  observeFlush(seconds: number): void;
}

const FLUSH_BUCKETS_SECONDS = [
  0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10,
];

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [value: number, labels?: Labels];

/** Makes metrics whose values are asked for when they are collected. */
class Collected {
  readonly registry = new Registry();

  gauge(name: string, help: string, labelNames: string[], samples: () => Iterable<Sample>): void {
    this.#add(Gauge, name, help, labelNames, samples);
  }

  /** `samples` gives totals. */
  counter(name: string, help: string, labelNames: string[], samples: () => Iterable<Sample>): void {
    this.#add(Counter, name, help, labelNames, samples);
  }

  #add(
    Kind: typeof Gauge | typeof Counter,
    name: string,
    help: string,
    labelNames: string[],
    samples: () => Iterable<Sample>,
  ): void {
    const metric = new Kind({
      name,
      help,
      labelNames,
      registers: [this.registry],
      collect: () => {
        metric.reset();
        for (const [value, labels] of samples()) metric.inc(labels ?? {}, value);
      },
    });
  }
}

interface Total {
  readonly name: string;
  readonly help: string;
  readonly label?: string;
  /** The broker's counters that it shows, each with its value of the label. */
  readonly parts: readonly (readonly [counter: keyof Counters, value?: string])[];
}

/** Every counter of the broker is in one of these. */
const TOTALS: readonly Total[] = [
  {
    name: "rillmq_messages_received_total",
    help: "Messages received from publishers, by their QoS.",
    label: "qos",
    parts: [
      ["messagesReceivedQos0", "0"],
      ["messagesReceivedQos1", "1"],
      ["messagesReceivedQos2", "2"],
    ],
  },
  {
    name: "rillmq_messages_delivered_total",
    help: "Messages sent to subscribers, by the QoS they were sent with.",
    label: "qos",
    parts: [
      ["messagesDeliveredQos0", "0"],
      ["messagesDeliveredQos1", "1"],
      ["messagesDeliveredQos2", "2"],
    ],
  },
  {
    name: "rillmq_packets_total",
    help: "MQTT packets, by direction.",
    label: "direction",
    parts: [
      ["packetsReceived", "received"],
      ["packetsSent", "sent"],
    ],
  },
  {
    name: "rillmq_payload_bytes_total",
    help: "Bytes of payloads from publishers and to subscribers.",
    label: "direction",
    parts: [
      ["payloadBytesReceived", "received"],
      ["payloadBytesSent", "sent"],
    ],
  },
  {
    name: "rillmq_sessions_expired_total",
    help: "Sessions that ended because nobody came back in time.",
    parts: [["sessionsExpired"]],
  },
  {
    name: "rillmq_messages_dropped_total",
    help: "Messages not delivered to somebody by a declared policy, by reason.",
    label: "reason",
    parts: [
      ["droppedSlowSubscriber", "slow-subscriber"],
      ["droppedNoMember", "no-member"],
      ["droppedTooLarge", "too-large"],
      ["droppedExpired", "expired"],
      ["droppedLost", "lost"],
      ["droppedOldest", "oldest"],
      ["droppedNotStored", "not-stored"],
      ["droppedNotAuthorized", "not-authorized"],
      ["droppedGivenUp", "given-up"],
    ],
  },
  {
    name: "rillmq_dead_letters_total",
    help: "Messages that a queue or consumer gave up and moved to a dead letter queue or stream.",
    parts: [["deadLettered"]],
  },
  {
    name: "rillmq_dead_letters_held_total",
    help: "Messages given up that stayed where they were, hidden, because their dead letter queue or stream had no room.",
    parts: [["deadLettersHeld"]],
  },
  {
    name: "rillmq_identifiers_forgotten_total",
    help: "Identifiers of messages forgotten before their duplicate window was over, because all of them took too much.",
    parts: [["identifiersForgotten"]],
  },
  {
    name: "rillmq_requests_total",
    help: "Requests, by what became of them.",
    label: "result",
    parts: [
      ["requestsReplied", "replied"],
      ["requestsCached", "cached"],
      ["requestsFailed", "responder-error"],
      ["requestsNoResponder", "no-responder"],
      ["requestsTimedOut", "timeout"],
      ["requestsRefused", "refused"],
    ],
  },
  {
    name: "rillmq_replies_late_total",
    help: "Replies that nobody waited for any more, or never.",
    parts: [["repliesLate"]],
  },
  {
    name: "rillmq_messages_refused_total",
    help: "Messages refused with a reason code, or whose publisher was held back and closed.",
    parts: [["refused"]],
  },
  {
    name: "rillmq_connections_accepted_total",
    help: "Connections accepted.",
    parts: [["connectionsAccepted"]],
  },
  {
    name: "rillmq_connections_refused_total",
    help: "Connections refused, by reason.",
    label: "reason",
    parts: [
      ["refusedCredentials", "bad-credentials"],
      ["refusedNotAuthorized", "not-authorized"],
      ["refusedBusy", "authentication-busy"],
      ["connectionsRefused", "other"],
    ],
  },
  {
    name: "rillmq_limits_reached_total",
    help: "Limits of what one client may do that were reached, by limit.",
    label: "limit",
    parts: [
      ["limitTopic", "topic"],
      ["limitSubscriptions", "subscriptions"],
      ["limitProperties", "properties"],
      ["limitPacketBytes", "packet-bytes"],
      ["limitPublishRate", "publish-rate"],
      ["limitStreams", "streams"],
      ["limitConsumers", "consumers"],
      ["limitQueues", "queues"],
      ["limitRequests", "requests"],
      ["limitBatch", "batch"],
      ["limitSubs", "subs"],
      ["limitWaits", "waiting-requests"],
    ],
  },
  {
    name: "rillmq_native_frames_total",
    help: "Frames of the native protocol, by direction.",
    label: "direction",
    parts: [
      ["framesReceived", "received"],
      ["framesSent", "sent"],
    ],
  },
  {
    name: "rillmq_native_frames_refused_total",
    help: "Frames of the native protocol that were answered with an error.",
    parts: [["framesRefused"]],
  },
  {
    name: "rillmq_native_connections_total",
    help: "Connections of the native protocol, by what happened to them.",
    label: "event",
    parts: [
      ["nativeOpened", "opened"],
      ["nativeClosed", "closed"],
    ],
  },
  {
    name: "rillmq_protocol_errors_total",
    help: "Connections closed for malformed packets or protocol errors.",
    parts: [["protocolErrors"]],
  },
];

function addClients(collected: Collected, source: MetricsSource): void {
  collected.gauge("rillmq_connections", "Network connections of clients.", [], () => [
    [source.connections()],
  ]);
  collected.gauge("rillmq_native_connections", "Those that speak the native protocol.", [], () => {
    const { nativeOpened, nativeClosed } = source.counters();
    return [[nativeOpened - nativeClosed]];
  });
  collected.gauge("rillmq_sessions", "Sessions with and without a connection.", ["state"], () => {
    const { online, offline } = source.sessions();
    return [
      [online, { state: "online" }],
      [offline, { state: "offline" }],
    ];
  });
  collected.counter(
    "rillmq_connections_dropped_total",
    "Network connections refused or ended by a listener, by reason.",
    ["reason"],
    () => source.network().dropped.map(([reason, total]): Sample => [total, { reason }]),
  );
  collected.counter(
    "rillmq_certificate_reloads_total",
    "Changed certificates, by whether they could be used.",
    ["result"],
    () => source.network().certificates.map(([result, total]): Sample => [total, { result }]),
  );
  collected.counter("rillmq_network_bytes_total", "Bytes of MQTT.", ["direction"], () => {
    const { bytesReceived, bytesSent } = source.network();
    return [
      [bytesReceived, { direction: "received" }],
      [bytesSent, { direction: "sent" }],
    ];
  });
  collected.gauge("rillmq_output_waiting_bytes", "Output that readers have not taken.", [], () => [
    [source.network().bytesWaiting],
  ]);
  collected.counter("rillmq_connections_opened_total", "Network connections opened.", [], () => [
    [source.network().opened],
  ]);
  for (const { name, help, label, parts } of TOTALS) {
    collected.counter(name, help, label === undefined ? [] : [label], () => {
      const counters = source.counters();
      return parts.map(([counter, value]): Sample => {
        return [counters[counter], label === undefined ? {} : { [label]: value ?? "" }];
      });
    });
  }
}

function addStore(collected: Collected, source: MetricsSource): void {
  collected.gauge("rillmq_retained_messages", "Retained messages.", [], () => [
    [source.kept().retainedMessages],
  ]);
  collected.gauge("rillmq_retained_bytes", "Bytes of retained messages and topics.", [], () => [
    [source.kept().retainedBytes],
  ]);
  collected.gauge("rillmq_subscriptions", "Subscriptions of all sessions.", [], () => [
    [source.kept().subscriptions],
  ]);
  collected.gauge("rillmq_store_live_bytes", "Bytes of everything durable.", [], () => [
    [source.store().liveBytes],
  ]);
  collected.gauge(
    "rillmq_store_table_bytes",
    "Of them, bytes of sessions, wills, retained messages and progress.",
    [],
    () => [[source.store().tableBytes]],
  );
  collected.gauge("rillmq_store_pending_bytes", "Bytes that wait for the disk.", [], () => [
    [source.store().pendingBytes],
  ]);
  collected.gauge("rillmq_stream_messages", "Messages in a stream.", ["stream"], () =>
    source.streams().map(({ name, messages }) => [messages, { stream: name }]),
  );
  collected.gauge("rillmq_stream_bytes", "Bytes of a stream on disk.", ["stream"], () =>
    source.streams().map(({ name, bytes }) => [bytes, { stream: name }]),
  );
  collected.gauge("rillmq_stream_oldest_seconds", "Age of its oldest record.", ["stream"], () =>
    source.streams().map(({ name, oldestSeconds }) => [oldestSeconds, { stream: name }]),
  );
}

function addQueues(collected: Collected, source: MetricsSource): void {
  const byQueue = (pick: (queue: QueueView) => number) => (): Sample[] =>
    source.queues().map((queue): Sample => [pick(queue), { queue: queue.name }]);
  collected.gauge(
    "rillmq_queue_messages",
    "Messages of a queue that are not settled.",
    ["queue"],
    byQueue(({ messages }) => messages),
  );
  collected.gauge(
    "rillmq_queue_inflight_messages",
    "Of them, those in somebody's hands or rejected with a delay.",
    ["queue"],
    byQueue(({ inflight }) => inflight),
  );
  collected.gauge(
    "rillmq_queue_delayed_messages",
    "Of them, those that were sent with a delay that is not over.",
    ["queue"],
    byQueue(({ delayed }) => delayed),
  );
  collected.gauge(
    "rillmq_queue_held_messages",
    "Of them, those given up that wait for room in their dead letter queue.",
    ["queue"],
    byQueue(({ held }) => held),
  );
  collected.gauge(
    "rillmq_queue_oldest_seconds",
    "Age of the oldest message of a queue; 0: there is none.",
    ["queue"],
    byQueue(({ oldestSeconds }) => oldestSeconds),
  );
  collected.gauge(
    "rillmq_queue_bytes",
    "Bytes of a queue on disk.",
    ["queue"],
    byQueue(({ bytes }) => bytes),
  );
  collected.gauge(
    "rillmq_queue_receivers",
    "Who takes messages of a queue: subscriptions, and long polls that wait.",
    ["queue"],
    byQueue(({ receivers }) => receivers),
  );
}

function addConsumers(collected: Collected, source: MetricsSource): void {
  const byConsumer = (pick: (consumer: ConsumerView) => number) => (): Sample[] =>
    source.consumers().map((one): Sample => {
      return [pick(one), { stream: one.stream, consumer: one.name }];
    });
  collected.gauge(
    "rillmq_consumer_members",
    "Connections that take records of a durable consumer.",
    ["stream", "consumer"],
    byConsumer(({ members }) => members),
  );
  collected.gauge(
    "rillmq_consumer_lag_seconds",
    "Age of the oldest record that a durable consumer has not settled; 0: there is none.",
    ["stream", "consumer"],
    byConsumer(({ lagSeconds }) => lagSeconds),
  );
  collected.gauge(
    "rillmq_consumer_lag_messages",
    "Records that a durable consumer has not settled.",
    ["stream", "consumer"],
    byConsumer(({ lag }) => lag),
  );
  collected.gauge(
    "rillmq_consumer_unacked_messages",
    "Of them, those that were delivered.",
    ["stream", "consumer"],
    byConsumer(({ unacked }) => unacked),
  );
  collected.gauge(
    "rillmq_consumer_held_messages",
    "Of them, those given up that wait for room in the dead letter stream.",
    ["stream", "consumer"],
    byConsumer(({ held }) => held),
  );
  collected.counter(
    "rillmq_native_requests_total",
    "Frames of native clients, by what was asked and what was said at once.",
    ["op", "code"],
    () => [...source.nativeRequests()].map(([op, code, count]): Sample => [count, { op, code }]),
  );
}

/** What becomes of what was handed out and is to be settled, or is settled without it. */
const SETTLEMENTS = [
  ["acknowledged", "acknowledged"],
  ["rejected", "rejected"],
  ["requeued", "requeued"],
  ["extended", "extended"],
  ["timedOut", "timed-out"],
  ["released", "released"],
  ["purged", "purged"],
] as const;

/** Totals by pattern, whatever the names of streams and queues are. */
function addPatternTotals(collected: Collected, source: MetricsSource): void {
  const inAndOut =
    (incoming: "messagesIn" | "bytesIn", outgoing: "messagesOut" | "bytesOut") => (): Sample[] =>
      Object.entries(source.patterns()).flatMap(([pattern, counts]): Sample[] => [
        [counts[incoming], { pattern, direction: "in" }],
        [counts[outgoing], { pattern, direction: "out" }],
      ]);
  collected.counter(
    "rillmq_pattern_messages_total",
    "Messages that came into streams and queues, requests and replies, and those handed out of them.",
    ["pattern", "direction"],
    inAndOut("messagesIn", "messagesOut"),
  );
  collected.counter(
    "rillmq_pattern_payload_bytes_total",
    "Bytes of their payloads.",
    ["pattern", "direction"],
    inAndOut("bytesIn", "bytesOut"),
  );
  const settled = (): (readonly ["stream" | "queue", PatternCounts])[] => {
    const { stream, queue } = source.patterns();
    return [
      ["stream", stream],
      ["queue", queue],
    ];
  };
  collected.counter(
    "rillmq_redeliveries_total",
    "Messages of queues and records of durable consumers handed out not for the first time.",
    ["pattern"],
    () => settled().map(([pattern, { redelivered }]): Sample => [redelivered, { pattern }]),
  );
  collected.counter(
    "rillmq_settlements_total",
    "What became of messages of queues and records of durable consumers that were handed out.",
    ["pattern", "how"],
    () =>
      settled().flatMap(([pattern, counts]) =>
        SETTLEMENTS.map(([field, how]): Sample => [counts[field], { pattern, how }]),
      ),
  );
  collected.gauge(
    "rillmq_deliveries_outstanding",
    "Messages of queues and records of durable consumers in somebody's hands, or rejected with a delay.",
    ["pattern"],
    () => [
      [sumOf(source.queues(), ({ inflight }) => inflight), { pattern: "queue" }],
      [sumOf(source.consumers(), ({ unacked }) => unacked), { pattern: "stream" }],
    ],
  );
  collected.gauge("rillmq_requests_waiting", "Requests without reply yet.", [], () => [
    [source.requests().waiting],
  ]);
  collected.gauge("rillmq_reply_cache_bytes", "Bytes of replies kept under a key.", [], () => [
    [source.requests().cacheBytes],
  ]);
}

const sumOf = <Thing>(things: readonly Thing[], pick: (thing: Thing) => number): number =>
  things.reduce((sum, thing) => sum + pick(thing), 0);

function addUplinks(collected: Collected, source: MetricsSource): void {
  const byLane = (pick: (lane: LaneView) => number) => (): Sample[] =>
    source.uplinks().flatMap(({ name, lanes }) =>
      lanes.map((lane): Sample => {
        return [pick(lane), { uplink: name, stream: lane.stream, lane: lane.name }];
      }),
    );
  const labels = ["uplink", "stream", "lane"];
  collected.gauge(
    "rillmq_uplink_lane_state",
    "1 for the state it is in.",
    [...labels, "state"],
    () =>
      source.uplinks().flatMap(({ name: uplink, lanes }) =>
        lanes.map(({ name: lane, stream, state }): Sample => {
          return [1, { uplink, stream, lane, state }];
        }),
      ),
  );
  collected.gauge("rillmq_uplink_dead_letters", "Dead letters on disk.", ["uplink"], () =>
    source.uplinks().map(({ name: uplink, deadLetters }) => [deadLetters, { uplink }]),
  );
  collected.counter(
    "rillmq_uplink_dropped_total",
    "Records never delivered; the loss ledger says which.",
    labels,
    byLane((lane) => lane.dropped),
  );
  collected.gauge("rillmq_uplink_state", "1 for the state it is in.", ["uplink", "state"], () =>
    source.uplinks().map(({ name, state }) => [1, { uplink: name, state }]),
  );
  collected.gauge(
    "rillmq_uplink_lag_messages",
    "Records the remote has not acknowledged.",
    labels,
    byLane((lane) => lane.lagMessages),
  );
  collected.gauge(
    "rillmq_uplink_lag_bytes",
    "Bytes of records the remote has not acknowledged.",
    labels,
    byLane((lane) => lane.lagBytes),
  );
  collected.gauge(
    "rillmq_uplink_oldest_unsent_seconds",
    "Age of the oldest record the remote has not acknowledged.",
    labels,
    byLane((lane) => lane.oldestUnsentSeconds),
  );
  collected.counter(
    "rillmq_uplink_acknowledged_total",
    "Records the remote acknowledged.",
    labels,
    byLane((lane) => lane.acknowledged),
  );
  collected.counter(
    "rillmq_uplink_resent_total",
    "Records sent again after a reconnect.",
    labels,
    byLane((lane) => lane.resent),
  );
  collected.counter(
    "rillmq_uplink_reconciled_total",
    "Records found at the remote that it had not acknowledged.",
    labels,
    byLane((lane) => lane.reconciled),
  );
}

function openFiles(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return 0;
  }
}

/** The customary metrics of a process, without the timers and observers of prom-client's own. */
function addProcess(collected: Collected): void {
  const started = Date.now() / 1_000 - process.uptime();
  const { version } = process;
  collected.gauge("nodejs_version_info", "Node.js version.", ["version"], () => [[1, { version }]]);
  collected.gauge("process_start_time_seconds", "Start of the process, Unix time.", [], () => [
    [started],
  ]);
  const cpu = process.cpuUsage.bind(process);
  collected.counter("process_cpu_seconds_total", "Processor time.", [], () => [
    [(cpu().user + cpu().system) / 1e6],
  ]);
  collected.counter("process_cpu_user_seconds_total", "Of it, in user mode.", [], () => [
    [cpu().user / 1e6],
  ]);
  collected.gauge("process_resident_memory_bytes", "Resident memory.", [], () => [
    [process.memoryUsage.rss()],
  ]);
  collected.gauge("nodejs_heap_used_bytes", "Used part of the JavaScript heap.", [], () => [
    [process.memoryUsage().heapUsed],
  ]);
  collected.gauge("process_open_fds", "Open file descriptors.", [], () => [[openFiles()]]);
  collected.counter("nodejs_eventloop_active_seconds_total", "Time the loop worked.", [], () => [
    [performance.eventLoopUtilization().active / 1_000],
  ]);
}

/** Metrics in a registry of their own. */
export function createMetrics(source: MetricsSource): Metrics {
  const collected = new Collected();
  addClients(collected, source);
  addStore(collected, source);
  addQueues(collected, source);
  addConsumers(collected, source);
  addPatternTotals(collected, source);
  addUplinks(collected, source);
  addProcess(collected);
  const { registry } = collected;
  const flush = new Histogram({
    name: "rillmq_flush_seconds",
    help: "How long commits took from seal to flushed.",
    buckets: FLUSH_BUCKETS_SECONDS,
    registers: [registry],
  });
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    observeFlush: (seconds) => flush.observe(seconds),
  };
}
