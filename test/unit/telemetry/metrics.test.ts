import assert from "node:assert/strict";
import { test } from "node:test";
import { Counters } from "../../../src/broker/counters.ts";
import type { Message } from "../../../src/broker/message.ts";
import { newPatternCounts, PatternCounts } from "../../../src/broker/pattern-counts.ts";
import { createMetrics } from "../../../src/telemetry/metrics.ts";
import type { MetricsSource } from "../../../src/telemetry/metrics-source.ts";

function sourceOf(
  counters: Counters,
  state: { readonly uplink: string },
  patterns = newPatternCounts(),
): MetricsSource {
  return {
    network: () => ({
      dropped: [
        ["write-stalled", 6],
        ["bad-frame", 0],
      ],
      bytesReceived: 21,
      bytesSent: 22,
      opened: 23,
      bytesWaiting: 24,
      certificates: [["failed", 1]],
    }),
    counters: () => counters,
    connections: () => 3,
    sessions: () => ({ online: 3, offline: 2 }),
    kept: () => ({ retainedMessages: 8, retainedBytes: 80, subscriptions: 11 }),
    store: () => ({ liveBytes: 4_096, tableBytes: 1_024, pendingBytes: 17 }),
    streams: () => [{ name: "telemetry", messages: 12, bytes: 340, oldestSeconds: 2.5 }],
    queues: () => [
      {
        name: "jobs",
        messages: 9,
        bytes: 90,
        inflight: 2,
        delayed: 1,
        held: 6,
        receivers: 6,
        oldestSeconds: 4.5,
      },
    ],
    consumers: () => [
      {
        stream: "telemetry",
        name: "invoices",
        lag: 5,
        unacked: 3,
        held: 7,
        members: 2,
        lagSeconds: 3.5,
      },
    ],
    requests: () => ({ waiting: 14, cacheBytes: 15 }),
    patterns: () => patterns,
    nativeRequests: () => [["send", "full", 8]],
    uplinks: () => [
      {
        name: "centre",
        state: state.uplink,
        deadLetters: 3,
        lanes: [
          {
            name: "hot",
            stream: "telemetry",
            state: "blocked",
            dropped: 9,
            lagMessages: 7,
            lagBytes: 70,
            oldestUnsentSeconds: 1.5,
            acknowledged: 5,
            resent: 2,
            reconciled: 1,
          },
        ],
      },
    ],
  };
}

/** Samples by name and labels. */
const samplesOf = (text: string): Map<string, number> =>
  new Map(
    text
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => {
        const end = line.lastIndexOf(" ");
        return [line.slice(0, end), Number(line.slice(end + 1))];
      }),
  );

test("metrics show what the source says at the time of the scrape", async () => {
  const counters = new Counters();
  const state = { uplink: "connecting" };
  const metrics = createMetrics(sourceOf(counters, state));
  counters.messagesReceivedQos1 = 41;
  await metrics.text();
  counters.messagesReceivedQos1 = 42;
  counters.droppedSlowSubscriber = 4;
  state.uplink = "streaming";
  const samples = samplesOf(await metrics.text());
  const expected: Record<string, number> = {
    rillmq_connections: 3,
    'rillmq_connections_dropped_total{reason="write-stalled"}': 6,
    'rillmq_connections_dropped_total{reason="bad-frame"}': 0,
    'rillmq_certificate_reloads_total{result="failed"}': 1,
    'rillmq_sessions{state="online"}': 3,
    'rillmq_sessions{state="offline"}': 2,
    'rillmq_messages_received_total{qos="1"}': 42,
    'rillmq_messages_delivered_total{qos="2"}': 0,
    'rillmq_messages_dropped_total{reason="slow-subscriber"}': 4,
    'rillmq_network_bytes_total{direction="received"}': 21,
    'rillmq_network_bytes_total{direction="sent"}': 22,
    rillmq_connections_opened_total: 23,
    rillmq_output_waiting_bytes: 24,
    rillmq_retained_messages: 8,
    rillmq_retained_bytes: 80,
    rillmq_subscriptions: 11,
    'rillmq_limits_reached_total{limit="topic"}': 0,
    rillmq_store_live_bytes: 4_096,
    rillmq_store_pending_bytes: 17,
    'rillmq_stream_messages{stream="telemetry"}': 12,
    'rillmq_stream_bytes{stream="telemetry"}': 340,
    'rillmq_queue_messages{queue="jobs"}': 9,
    'rillmq_queue_inflight_messages{queue="jobs"}': 2,
    'rillmq_queue_delayed_messages{queue="jobs"}': 1,
    'rillmq_queue_oldest_seconds{queue="jobs"}': 4.5,
    'rillmq_queue_bytes{queue="jobs"}': 90,
    'rillmq_queue_receivers{queue="jobs"}': 6,
    'rillmq_stream_oldest_seconds{stream="telemetry"}': 2.5,
    'rillmq_consumer_members{stream="telemetry",consumer="invoices"}': 2,
    'rillmq_consumer_lag_seconds{stream="telemetry",consumer="invoices"}': 3.5,
    'rillmq_deliveries_outstanding{pattern="queue"}': 2,
    'rillmq_deliveries_outstanding{pattern="stream"}': 3,
    rillmq_requests_waiting: 14,
    rillmq_reply_cache_bytes: 15,
    'rillmq_consumer_lag_messages{stream="telemetry",consumer="invoices"}': 5,
    'rillmq_consumer_unacked_messages{stream="telemetry",consumer="invoices"}': 3,
    'rillmq_native_requests_total{op="send",code="full"}': 8,
    'rillmq_uplink_state{uplink="centre",state="streaming"}': 1,
    'rillmq_uplink_lane_state{uplink="centre",stream="telemetry",lane="hot",state="blocked"}': 1,
    'rillmq_uplink_dead_letters{uplink="centre"}': 3,
    'rillmq_uplink_dropped_total{uplink="centre",stream="telemetry",lane="hot"}': 9,
    'rillmq_uplink_lag_messages{uplink="centre",stream="telemetry",lane="hot"}': 7,
    'rillmq_uplink_lag_bytes{uplink="centre",stream="telemetry",lane="hot"}': 70,
    'rillmq_uplink_oldest_unsent_seconds{uplink="centre",stream="telemetry",lane="hot"}': 1.5,
    'rillmq_uplink_acknowledged_total{uplink="centre",stream="telemetry",lane="hot"}': 5,
    'rillmq_uplink_resent_total{uplink="centre",stream="telemetry",lane="hot"}': 2,
    'rillmq_uplink_reconciled_total{uplink="centre",stream="telemetry",lane="hot"}': 1,
  };
  for (const [name, value] of Object.entries(expected))
    assert.equal(samples.get(name), value, name);
  assert.equal(samples.get('rillmq_uplink_state{uplink="centre",state="connecting"}'), undefined);
  assert.ok((samples.get("process_resident_memory_bytes") ?? 0) > 1_000_000);
});

test("flushes fall into the histogram's buckets", async () => {
  const metrics = createMetrics(sourceOf(new Counters(), { uplink: "paused" }));
  metrics.observeFlush(0.0015);
  metrics.observeFlush(0.3);
  const samples = samplesOf(await metrics.text());
  assert.equal(samples.get('rillmq_flush_seconds_bucket{le="0.001"}'), 0);
  assert.equal(samples.get('rillmq_flush_seconds_bucket{le="0.002"}'), 1);
  assert.equal(samples.get('rillmq_flush_seconds_bucket{le="0.5"}'), 2);
  assert.equal(samples.get("rillmq_flush_seconds_count"), 2);
});

test("every counter of the broker is in a metric", async () => {
  const counters = new Counters();
  const names = Object.keys(counters) as (keyof Counters)[];
  assert.ok(names.length > 0);
  names.forEach((name, i) => {
    counters[name] = 1_000_000 + i;
  });
  const metrics = createMetrics(sourceOf(counters, { uplink: "paused" }));
  const values = new Set(samplesOf(await metrics.text()).values());
  for (const name of names) assert.ok(values.has(counters[name]), `${name} is shown nowhere`);
});

test("everything that is counted of queues and streams is in a metric", async () => {
  const patterns = newPatternCounts();
  const fields = Object.keys(new PatternCounts()) as (keyof PatternCounts)[];
  let next = 1_000_000;
  const expected: number[] = [];
  for (const counts of [patterns.queue, patterns.stream]) {
    for (const field of fields) {
      Object.assign(counts, { [field]: ++next });
      expected.push(next);
    }
  }
  patterns.request.countIn({ payloadStart: 0, payloadEnd: 7 } as Message);
  const metrics = createMetrics(sourceOf(new Counters(), { uplink: "paused" }, patterns));
  const samples = samplesOf(await metrics.text());
  const values = new Set(samples.values());
  for (const value of expected) assert.ok(values.has(value), `${value - 1_000_001}`);
  const bytes = 'rillmq_pattern_payload_bytes_total{pattern="request",direction="in"}';
  assert.equal(samples.get(bytes), 7);
});
