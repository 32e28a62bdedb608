import type { Collected } from "./collected.ts";
import type { MetricsSource } from "./metrics-source.ts";

/** What is kept: retained messages, subscriptions, the store as a whole, and streams. */
export function addStore(collected: Collected, source: MetricsSource): void {
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
