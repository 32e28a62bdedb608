/** What is done with messages of queues: send, receive, settle, peek. */
import type { Settled } from "../broker/deliveries.ts";
import type { Queue } from "../broker/queue.ts";
import { NO_COMMIT } from "../broker/store.ts";
import type { Caller } from "./caller.ts";
import { checkContent, checkTopic, fillContent, frameBytes, messageOf, wallOf } from "./content.ts";
import type {
  PeekedMessage,
  PeekFrame,
  QueueSubscribeFrame,
  ReceiveFrame,
  SendFrame,
  SendMessage,
  SettleFrame,
} from "./frame.ts";
import { BATCH_BYTES, QueuePoll, QueueSub } from "./queue-receivers.ts";
import { type Handled, HOLD, holdFor, Refusal } from "./refusal.ts";
import { mustLabel, mustRead, mustWrite } from "./rights.ts";

/** @throws Refusal for longer lists than what is taken */
export function checkBatch({ broker, options }: Caller, size: number): void {
  const { batchMax } = options.limits;
  if (size <= batchMax) return;
  broker.counters.limitBatch++;
  throw new Refusal("limit-exceeded", `more than ${batchMax} in one frame`);
}

/** @throws Refusal when there is no such queue */
export function knownQueue({ broker }: Caller, name: string): Queue {
  const queue = broker.queues.get(name);
  if (queue === undefined) throw new Refusal("not-found", "there is no such queue");
  return queue;
}

/** @throws Refusal when it is not there and there are too many to make it */
function openQueue({ broker }: Caller, name: string): Queue {
  const queue = broker.queues.open(name);
  if (queue === undefined) throw new Refusal("limit-exceeded", "there are too many queues");
  return queue;
}

function checkSent(caller: Caller, message: SendMessage, queue: string): void {
  const { broker, options } = caller;
  const { topic, deadLetterQueue } = message;
  if (topic !== undefined) {
    checkTopic(topic, options, broker.counters);
    mustLabel(caller, topic, queue);
  }
  checkContent(message, options, broker.counters);
  if (deadLetterQueue !== undefined) mustWrite(caller, "queue", deadLetterQueue);
}

/** All of them or none, in one commit. Hot path: per message. */
export function send(caller: Caller, frame: SendFrame): Handled {
  const { broker, session } = caller;
  const { messages, queue: name } = frame;
  checkBatch(caller, messages.length);
  mustWrite(caller, "queue", name);
  for (const message of messages) checkSent(caller, message, name);
  if (holdFor(broker.store.refusal()) === HOLD) return HOLD;
  const queue = openQueue(caller, name);
  const { messagesMax } = queue.settings;
  const now = broker.clock.now();
  const isTooMany = queue.isFull || queue.messages + messages.length > messagesMax;
  // What is sent again because its answer did not arrive needs no room.
  if (messages.length > 0 && isTooMany && !queue.knowsAll(messages, now)) {
    broker.counters.refused++;
    throw new Refusal("full", "the queue is full");
  }
  let commit = NO_COMMIT;
  const results = messages.map((one) => {
    const topic = broker.topics.of(one.topic ?? name);
    const publisherId = session.clientId;
    const message = messageOf(one, { topic, qos: 1, retain: false, publisherId, now });
    // Room for all of them was found above.
    const sent = broker.queues.send(queue, message, one, true);
    if (!sent.isTaken) throw new Error("a message was refused although there was room");
    if (sent.commit > commit) commit = sent.commit;
    broker.counters.payloadBytesReceived += message.payloadEnd;
    return {
      ...(sent.sequence === undefined ? {} : { sequence: sent.sequence }),
      ...(sent.delayedUntil === undefined
        ? {}
        : { delayedUntil: wallOf(broker.clock, sent.delayedUntil) }),
      ...(sent.isDuplicate ? { duplicate: true } : {}),
    };
  });
  caller.answer(frame.id, commit, { results });
  return undefined;
}

export function receive(caller: Caller, frame: ReceiveFrame): void {
  const { max = 1, waitMs = 0, queue: name } = frame;
  checkBatch(caller, max);
  mustRead(caller, "queue", name);
  if (waitMs > 0) caller.waits.checkRoom();
  const queue = openQueue(caller, name);
  const { visibilityMs = queue.settings.visibilityMs } = frame;
  new QueuePoll(caller, frame.id, queue, max, visibilityMs).start(waitMs);
}

export function subscribeToQueue(caller: Caller, frame: QueueSubscribeFrame): void {
  const { subs } = caller;
  mustRead(caller, "queue", frame.queue);
  const id = subs.nextId();
  const queue = openQueue(caller, frame.queue);
  const { visibilityMs = queue.settings.visibilityMs } = frame;
  const sub = new QueueSub(caller, id, queue, subs.creditOf(frame.credit), visibilityMs);
  subs.add(sub);
  caller.reply(frame.id, { sub: id });
  sub.start();
}

/** Hot path: per frame of acknowledgements. */
export function settle(caller: Caller, frame: SettleFrame): Handled {
  const { deliveries: names } = frame;
  checkBatch(caller, names.length);
  mustRead(caller, "queue", frame.queue);
  const queue = knownQueue(caller, frame.queue);
  const settled = settleOn(caller, queue, frame);
  if (settled === HOLD) return HOLD;
  queue.deliveries.pump();
  answerSettled(caller, frame.id, settled, names);
  return undefined;
}

function settleOn(caller: Caller, queue: Queue, frame: SettleFrame): Settled | typeof HOLD {
  const { deliveries: names, delayMs = 0 } = frame;
  const { deliveries, settings } = queue;
  switch (frame.how) {
    case "ack":
      return deliveries.ack(names);
    case "reject":
      return deliveries.reject(names, delayMs);
    case "extend":
      return deliveries.extend(names, frame.visibilityMs ?? settings.visibilityMs);
    case "requeue": {
      const { to = queue.name } = frame;
      if (to !== queue.name) mustWrite(caller, "queue", to);
      if (holdFor(caller.broker.store.refusal()) === HOLD) return HOLD;
      const target = openQueue(caller, to);
      const { messagesMax } = target.settings;
      const isTooMany = target.isFull || target.messages + names.length > messagesMax;
      // Within one queue there is no more of it than before.
      if (target !== queue && isTooMany) {
        caller.broker.counters.refused++;
        throw new Refusal("full", "the queue to move to is full");
      }
      return caller.broker.queues.requeue(queue, names, target, delayMs);
    }
  }
}

/** `names`: what was asked for, in the terms of the request; `expired` of it is in other hands by now. */
export function answerSettled(
  caller: Caller,
  id: number | undefined,
  { commit, expired }: Settled,
  names: readonly number[],
): void {
  if (names.length > 0 && expired.length === names.length) {
    // Nothing was done that could be waited for.
    caller.refuse(id, "expired-delivery", "none of these is in your hands any more");
    return;
  }
  const waitsFor = names.length === 0 ? NO_COMMIT : commit;
  caller.answer(id, waitsFor, expired.length === 0 ? {} : { expired });
}

export function peek(caller: Caller, frame: PeekFrame): void {
  const { from = 0, max = 1 } = frame;
  checkBatch(caller, max);
  mustRead(caller, "queue", frame.queue);
  const queue = knownQueue(caller, frame.queue);
  const { clock } = caller.broker;
  const messages: PeekedMessage[] = [];
  let bytes = 0;
  queue.deliveries.peek(from, max, (record, deliveryCount, isHidden) => {
    const fields: PeekedMessage = {
      sequence: record.sequence,
      topic: record.topic.text,
      deliveryCount,
      hidden: isHidden,
      sentAt: wallOf(clock, record.receivedAt),
    };
    messages.push(fillContent(fields, record, clock));
    bytes += frameBytes(record);
    return bytes < BATCH_BYTES;
  });
  caller.reply(frame.id, { messages });
}
