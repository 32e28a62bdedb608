/** Queues as things: made, changed, emptied, deleted, listed, looked at. */
import type { Queue } from "../broker/queue.ts";
import type { QueueSettings } from "../broker/queue-records.ts";
import { NO_COMMIT } from "../broker/store.ts";
import { AckAll } from "./ack-all.ts";
import type { Caller } from "./caller.ts";
import { checkFilter, wallOf } from "./content.ts";
import type { ListFrame, QueueFrame, QueueSettingsFrame } from "./frame.ts";
import { pageOf } from "./page.ts";
import { knownQueue } from "./queue-messages.ts";
import { type Handled, HOLD, holdFor, Refusal } from "./refusal.ts";
import { maySee, mustHoldUp, mustManage, mustRead, mustSubscribe, mustWrite } from "./rights.ts";

/** What is asked for, else what it was. */
function settingsOf(frame: QueueSettingsFrame, before: Omit<QueueSettings, "name">): QueueSettings {
  return {
    name: frame.queue,
    filters: frame.filters ?? before.filters,
    bytesMax: frame.maxBytes ?? before.bytesMax,
    messagesMax: frame.maxMessages ?? before.messagesMax,
    deliveriesMax: frame.deliveriesMax ?? before.deliveriesMax,
    deadLetterQueue: frame.deadLetterQueue ?? before.deadLetterQueue,
    visibilityMs: frame.visibilityMs ?? before.visibilityMs,
    expiryMs: frame.expiryMs ?? before.expiryMs,
    duplicateWindowMs: frame.duplicateWindowMs ?? before.duplicateWindowMs,
  };
}

/** Who captures topics reads them from then on; what is given up is written elsewhere. */
function checkSettings(caller: Caller, frame: QueueSettingsFrame): void {
  mustManage(caller, "queue", frame.queue);
  for (const filter of frame.filters ?? []) {
    checkFilter(filter, caller.options, caller.broker.counters);
    if (filter.startsWith("$")) throw new Refusal("bad-frame", "$ topics are not captured");
    mustSubscribe(caller, filter);
  }
  if (frame.deadLetterQueue !== undefined) mustWrite(caller, "queue", frame.deadLetterQueue);
}

export function createQueue(caller: Caller, frame: QueueSettingsFrame): Handled {
  const { broker } = caller;
  checkSettings(caller, frame);
  if (broker.queues.get(frame.queue) !== undefined) {
    throw new Refusal("exists", "there is such a queue");
  }
  const settings = settingsOf(frame, { ...broker.patternLimits.defaults, filters: [] });
  mustHoldUp(caller, settings.filters);
  if (holdFor(broker.store.refusal()) === HOLD) return HOLD;
  if (broker.queues.create(settings) === undefined) {
    throw new Refusal("limit-exceeded", "there are too many queues");
  }
  caller.answer(frame.id, broker.store.openCommit, {});
  return undefined;
}

/** @throws Refusal for a queue of the configuration */
function changeable(caller: Caller, name: string): Queue {
  const queue = knownQueue(caller, name);
  if (caller.broker.queues.isMadeAtRunTime(queue)) return queue;
  throw new Refusal("not-authorized", "the queue comes from the configuration: change it there");
}

export function updateQueue(caller: Caller, frame: QueueSettingsFrame): void {
  checkSettings(caller, frame);
  const queue = changeable(caller, frame.queue);
  const settings = settingsOf(frame, queue.settings);
  mustHoldUp(caller, settings.filters);
  const commit = caller.broker.queues.update(queue, settings);
  caller.answer(frame.id, commit, {});
}

/** With all that is in it. */
export function deleteQueue(caller: Caller, frame: QueueFrame): void {
  mustManage(caller, "queue", frame.queue);
  const commit = caller.broker.queues.delete(changeable(caller, frame.queue));
  caller.answer(frame.id, commit, {});
}

export function purgeQueue(caller: Caller, frame: QueueFrame): void {
  mustManage(caller, "queue", frame.queue);
  const { count, commit } = caller.broker.queues.purge(knownQueue(caller, frame.queue));
  caller.answer(frame.id, count === 0 ? NO_COMMIT : commit, { count });
}

/** Settles what waits for a receiver. */
export function ackAll(caller: Caller, frame: QueueFrame): void {
  mustRead(caller, "queue", frame.queue);
  const queue = knownQueue(caller, frame.queue);
  caller.waits.checkRoom();
  new AckAll(caller, frame.id, queue).start();
}

export function queueInfo(caller: Caller, frame: QueueFrame): void {
  const { clock } = caller.broker;
  mustRead(caller, "queue", frame.queue);
  const queue = knownQueue(caller, frame.queue);
  const { settings, deliveries } = queue;
  const { deadLetterQueue } = settings;
  const { oldestAt } = queue;
  caller.reply(frame.id, {
    queue: queue.name,
    messages: queue.messages,
    bytes: queue.bytes,
    waiting: deliveries.waiting,
    inHands: deliveries.inHands,
    delayed: queue.delayedMessages,
    ...(deliveries.held === 0 ? {} : { held: deliveries.held }),
    receivers: deliveries.receiverCount,
    ...(oldestAt === undefined ? {} : { oldestAt: wallOf(clock, oldestAt) }),
    settings: {
      filters: settings.filters,
      maxBytes: settings.bytesMax,
      maxMessages: settings.messagesMax,
      deliveriesMax: settings.deliveriesMax,
      ...(deadLetterQueue === undefined ? {} : { deadLetterQueue }),
      visibilityMs: settings.visibilityMs,
      expiryMs: settings.expiryMs,
      duplicateWindowMs: settings.duplicateWindowMs,
    },
  });
}

export function listQueues(caller: Caller, frame: ListFrame): void {
  const all = [...caller.broker.queues.all()];
  const seen = all.filter(({ name }) => maySee(caller, "queue", name));
  const { page, more } = pageOf(seen, frame, caller.options.limits.batchMax);
  const queues = page.map(({ name, messages, bytes }) => ({ queue: name, messages, bytes }));
  caller.reply(frame.id, { queues, more });
}
