import type { Collected, Sample } from "./collected.ts";
import type { LaneView, MetricsSource } from "./metrics-source.ts";

/** Uplinks and their lanes. */
export function addUplinks(collected: Collected, source: MetricsSource): void {
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
