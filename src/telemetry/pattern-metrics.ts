import type { PatternCounts } from "../broker/pattern-counts.ts";
import type { Collected, Sample } from "./collected.ts";
import type { MetricsSource } from "./metrics-source.ts";

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
export function addPatternTotals(collected: Collected, source: MetricsSource): void {
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
