import type { Mark, PublisherTotals, SubscriberTotals } from "./load/load-messages.ts";
import { ratio } from "./statistics.ts";

/** What one run brought. Figures that the system does not give are `undefined`. */
export interface RunResult {
  /** Received in the measured window, per second. */
  readonly messagesPerSecond: number;
  /** Processor µs per message received in the window, all threads, user and kernel. */
  readonly brokerUsPerMessage: number | undefined;
  readonly publisherUsPerMessage: number | undefined;
  readonly subscriberUsPerMessage: number | undefined;
  /** Processor time over the window's length: 1 is one core. */
  readonly brokerLoad: number | undefined;
  readonly publisherLoad: number | undefined;
  readonly subscriberLoad: number | undefined;
  /** Messages received per read and per write of the broker, file reads and writes included. */
  readonly messagesPerRead: number | undefined;
  readonly messagesPerWrite: number | undefined;
  readonly peakRssBytes: number | undefined;
  /** Over the whole run. */
  readonly sent: number;
  readonly acknowledged: number;
  readonly received: number;
  readonly redelivered: number;
  /** Sent and not received once the broker was quiet; `undefined` when it never was. */
  readonly dropped: number | undefined;
  /** QoS 1 only: acknowledged to a publisher and not received; `undefined` like `dropped`. */
  readonly acknowledgedNotDelivered: number | undefined;
  /** Why the counts cannot be right. Empty for a good run. */
  readonly faults: readonly string[];
}

/** Makes the result of a run out of its two marks and its totals. */
export function resultOf(run: {
  readonly begin: Mark;
  readonly end: Mark;
  readonly published: PublisherTotals;
  readonly received: SubscriberTotals;
  readonly peakRssBytes: number | undefined;
}): RunResult {
  const { begin, end, published, received } = run;
  const messages = end.received - begin.received;
  const windowMs = end.atMs - begin.atMs;
  const brokerUs = growth(begin.broker?.cpuUs, end.broker?.cpuUs);
  const publisherUs = growth(begin.publisher?.cpuUs, end.publisher?.cpuUs);
  const subscriberUs = growth(begin.subscriber?.cpuUs, end.subscriber?.cpuUs);
  const delivered = received.received - received.redelivered;
  const missing = (from: number): number | undefined =>
    received.isDrained ? Math.max(0, from - delivered) : undefined;
  return {
    messagesPerSecond: windowMs > 0 ? (messages * 1_000) / windowMs : 0,
    brokerUsPerMessage: ratio(brokerUs, messages),
    publisherUsPerMessage: ratio(publisherUs, messages),
    subscriberUsPerMessage: ratio(subscriberUs, messages),
    brokerLoad: ratio(brokerUs, windowMs * 1_000),
    publisherLoad: ratio(publisherUs, windowMs * 1_000),
    subscriberLoad: ratio(subscriberUs, windowMs * 1_000),
    messagesPerRead: ratio(messages, growth(begin.broker?.readCalls, end.broker?.readCalls)),
    messagesPerWrite: ratio(messages, growth(begin.broker?.writeCalls, end.broker?.writeCalls)),
    peakRssBytes: run.peakRssBytes,
    sent: published.sent,
    acknowledged: published.acknowledged,
    received: received.received,
    redelivered: received.redelivered,
    dropped: missing(published.sent),
    acknowledgedNotDelivered: missing(published.acknowledged),
    faults: faultsOf(messages, published, received),
  };
}

function growth(before: number | undefined, after: number | undefined): number | undefined {
  return before === undefined || after === undefined ? undefined : after - before;
}

function faultsOf(
  messages: number,
  published: PublisherTotals,
  received: SubscriberTotals,
): string[] {
  const faults: string[] = [];
  if (messages === 0) faults.push("no message in the measured window");
  if (received.received - received.redelivered > published.sent) {
    faults.push(`received ${received.received} of ${published.sent} sent`);
  }
  if (published.unexpected > 0) {
    faults.push(`publishers got ${published.unexpected} packets (QoS 0: bytes) not expected`);
  }
  if (received.unexpected > 0) {
    faults.push(`the subscriber got ${received.unexpected} packets or bytes not expected`);
  }
  return faults;
}
