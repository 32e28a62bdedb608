/** What metrics show of a running node: pure views of its sessions, store, streams and uplinks. */
import type { Broker } from "./broker/broker.ts";
import type { AllPatternCounts } from "./broker/pattern-counts.ts";
import type { Session } from "./broker/session.ts";
import type { LogStore } from "./store/log-store.ts";
import type {
  ConsumerView,
  MetricsSource,
  QueueView,
  RequestView,
  StreamView,
} from "./telemetry/metrics-source.ts";
import type { Uplink } from "./uplink/uplink.ts";

/** Sessions with and without a connection. */
export function sessionCounts(sessions: Iterable<Session>): { online: number; offline: number } {
  let online = 0;
  let offline = 0;
  for (const session of sessions) {
    if (session.owner === undefined) offline++;
    else online++;
  }
  return { online, offline };
}

/** Retained messages with their bytes, and subscriptions; nothing while there is no broker. */
export function keptCounts(broker: Broker | undefined): {
  retainedMessages: number;
  retainedBytes: number;
  subscriptions: number;
} {
  return {
    retainedMessages: broker?.retained.size ?? 0,
    retainedBytes: broker?.retained.bytes ?? 0,
    subscriptions: broker?.subscriptionCount ?? 0,
  };
}

/** What is live on disk and what waits for it, in bytes, and messages in logs; nothing while there is no store. */
export function storeSizes(store: LogStore | undefined): {
  liveBytes: number;
  tableBytes: number;
  pendingBytes: number;
  messages: number;
} {
  if (store === undefined) {
    return { liveBytes: 0, tableBytes: 0, pendingBytes: 0, messages: 0 };
  }
  let messages = 0;
  for (const log of store.logNames().keys()) {
    const { firstSequence, nextSequence } = store.stats(log);
    messages += nextSequence - firstSequence;
  }
  const { usedBytes: liveBytes, tableBytes, pendingBytes } = store;
  return { liveBytes, tableBytes, pendingBytes, messages };
}

/** Streams, queues and consumers that have labels of their own; clients make as many as their limits allow. */
const NAMED_MAX = 100;
/** Stands for all others; no name has a `*`. */
const OTHER = "*other";

/** The first so many, and the sum of the others: of what is in `ages` the greatest counts. */
function bounded<View extends object>(
  views: View[],
  names: Partial<View>,
  ages: keyof View,
): View[] {
  const [first, ...others] = views.slice(NAMED_MAX);
  if (first === undefined) return views;
  const sum = { ...first, ...names } as View;
  for (const other of others) {
    const oldest = Math.max(Number(sum[ages]), Number(other[ages]));
    addTo(sum, other);
    Object.assign(sum, { [ages]: oldest });
  }
  return [...views.slice(0, NAMED_MAX), sum];
}

/** What each stream holds, those of the configuration first; nothing while there is no store. */
export function streamViews(
  running: { readonly broker: Broker; readonly store: LogStore } | undefined,
): StreamView[] {
  if (running === undefined) return [];
  const { broker, store } = running;
  const views = broker.streams.all.map(({ name, log }) => {
    const { firstSequence, nextSequence, bytes, oldestAt } = store.stats(log);
    const oldestSeconds = oldestAt === undefined ? 0 : broker.clock.since(oldestAt) / 1_000;
    return { name, messages: nextSequence - firstSequence, bytes, oldestSeconds };
  });
  return bounded(views, { name: OTHER }, "oldestSeconds");
}

/** What each queue holds, those of the configuration first; nothing while there is no broker. */
export function queueViews(broker: Broker | undefined): QueueView[] {
  if (broker === undefined) return [];
  const { clock, queues } = broker;
  const all = [...queues.all()];
  const made = all.filter((queue) => queues.isMadeAtRunTime(queue));
  const configured = all.filter((queue) => !made.includes(queue));
  const views = [...configured, ...made].map((queue) => {
    const { name, messages, bytes, delayedMessages, deliveries, oldestAt } = queue;
    return {
      name,
      messages,
      bytes,
      inflight: deliveries.inHands,
      delayed: delayedMessages,
      held: deliveries.held,
      receivers: deliveries.receiverCount,
      oldestSeconds: oldestAt === undefined ? 0 : clock.since(oldestAt) / 1_000,
    };
  });
  return bounded(views, { name: OTHER }, "oldestSeconds");
}

/** How far each durable consumer is behind its stream; nothing while there is no broker. */
export function consumerViews(broker: Broker | undefined): ConsumerView[] {
  if (broker === undefined) return [];
  const { clock } = broker;
  const views = broker.streams.all.flatMap((stream) =>
    [...broker.consumers.of(stream)].map(({ name, deliveries, holders }) => {
      const oldestAt = deliveries.size === 0 ? undefined : deliveries.floorAt;
      return {
        stream: stream.name,
        name,
        lag: deliveries.size,
        unacked: deliveries.inHands,
        held: deliveries.held,
        members: holders.size,
        lagSeconds: oldestAt === undefined ? 0 : clock.since(oldestAt) / 1_000,
      };
    }),
  );
  return bounded(views, { stream: OTHER, name: OTHER }, "lagSeconds");
}

/** Requests that wait, and replies that are kept; nothing while there is no broker. */
export const requestView = (broker: Broker | undefined): RequestView => ({
  waiting: broker?.requests.size ?? 0,
  cacheBytes: broker?.requests.cacheBytes ?? 0,
});

/** Adds to `totals` what went through the patterns. */
export function addPatternsTo(totals: AllPatternCounts, counts: AllPatternCounts): void {
  addTo(totals.stream, counts.stream);
  addTo(totals.queue, counts.queue);
  addTo(totals.request, counts.request);
  addTo(totals.reply, counts.reply);
}

/** State, dead letters and lanes of one uplink. */
export function uplinkView(uplink: Uplink): ReturnType<MetricsSource["uplinks"]>[number] {
  const { name, state, lanes, deadLetters } = uplink.status();
  return {
    name,
    state,
    deadLetters: deadLetters.count,
    lanes: lanes.map((lane) => ({
      name: lane.name,
      stream: lane.stream,
      state: lane.state,
      dropped: lane.dropped,
      lagMessages: lane.lagMessages,
      lagBytes: lane.lagBytes,
      oldestUnsentSeconds: (lane.oldestUnsentMs ?? 0) / 1_000,
      acknowledged: lane.acknowledged,
      resent: lane.resent,
      reconciled: lane.reconciledFound,
    })),
  };
}

/** Adds all numbers of the one to those of the other. */
export function addTo<Counts extends object>(totals: Counts, counts: Counts): void {
  const sums = totals as Record<string, unknown>;
  for (const [name, count] of Object.entries(counts)) {
    if (typeof count === "number") sums[name] = Number(sums[name]) + count;
  }
}
