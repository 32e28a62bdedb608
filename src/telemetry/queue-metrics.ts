import type { Collected, Sample } from "./collected.ts";
import type { MetricsSource, QueueView } from "./metrics-source.ts";

/** Queues by name. */
export function addQueues(collected: Collected, source: MetricsSource): void {
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
