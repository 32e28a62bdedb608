import type { Collected, Sample } from "./collected.ts";
import type { ConsumerView, MetricsSource } from "./metrics-source.ts";

/** Durable consumers by stream and name. */
export function addConsumers(collected: Collected, source: MetricsSource): void {
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
}
