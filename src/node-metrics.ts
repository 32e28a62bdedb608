/** What metrics show of a running node: pure views of its sessions, store, streams and uplinks. */
import type { Broker } from "./broker/broker.ts";
import type { Counters } from "./broker/counters.ts";
import type { Session } from "./broker/session.ts";
import type { LogStore } from "./store/log-store.ts";
import type { ConsumerView, MetricsSource, QueueView } from "./telemetry/metrics.ts";
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

/** What each stream holds; nothing while there is no store. */
export function streamViews(
  running: { readonly broker: Broker; readonly store: LogStore } | undefined,
): { name: string; messages: number; bytes: number }[] {
  if (running === undefined) return [];
  return running.broker.streams.all.map(({ name, log }) => {
    const { firstSequence, nextSequence, bytes } = running.store.stats(log);
    return { name, messages: nextSequence - firstSequence, bytes };
  });
}

/** What each queue holds; nothing while there is no broker. */
export function queueViews(broker: Broker | undefined): QueueView[] {
  if (broker === undefined) return [];
  const { clock } = broker;
  return [...broker.queues.all()].map(
    ({ name, messages, delayedMessages, deliveries, oldestAt }) => ({
      name,
      messages,
      inflight: deliveries.inHands,
      delayed: delayedMessages,
      held: deliveries.held,
      oldestSeconds: oldestAt === undefined ? 0 : clock.since(oldestAt) / 1_000,
    }),
  );
}

/** How far each durable consumer is behind its stream; nothing while there is no broker. */
export function consumerViews(broker: Broker | undefined): ConsumerView[] {
  if (broker === undefined) return [];
  return broker.streams.all.flatMap((stream) =>
    [...broker.consumers.of(stream)].map(({ name, deliveries }) => ({
      stream: stream.name,
      name,
      lag: deliveries.size,
      unacked: deliveries.inHands,
      held: deliveries.held,
    })),
  );
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

/** Adds to `totals` what was counted. */
export function addTo(totals: Counters, counters: Counters): void {
  for (const name of Object.keys(counters) as (keyof Counters)[]) totals[name] += counters[name];
}
