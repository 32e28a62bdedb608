/**
 * Metrics for Prometheus. The hot path counts in plain numbers; here they are read when somebody asks. Only flushes are observed as they
 * happen, one call per commit.
 */
import { Histogram } from "prom-client";
import { addBrokerTotals } from "./broker-totals.ts";
import { addClients } from "./client-metrics.ts";
import { Collected } from "./collected.ts";
import { addConsumers } from "./consumer-metrics.ts";
import type { MetricsSource } from "./metrics-source.ts";
import { addPatternTotals } from "./pattern-metrics.ts";
import { addProcess } from "./process-metrics.ts";
import { addQueues } from "./queue-metrics.ts";
import { addStore } from "./store-metrics.ts";
import { addUplinks } from "./uplink-metrics.ts";

/** What is served under `/metrics`. */
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

/** Metrics in a registry of their own. */
export function createMetrics(source: MetricsSource): Metrics {
  const collected = new Collected();
  addClients(collected, source);
  addBrokerTotals(collected, source);
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
