/** What is done with records of streams: append, read, consume, settle. */
import type { Consumer } from "../broker/consumer.ts";
import { NO_COMMIT, type Sequence } from "../broker/store.ts";
import type { Stream } from "../broker/stream.ts";
import type { ConsumerSettings } from "../broker/stream-records.ts";
import type { Caller } from "./caller.ts";
import { ConsumerSub } from "./consumer-sub.ts";
import { checkContent, checkFilter, checkTopic, frameBytes, messageOf } from "./content.ts";
import { CursorSub } from "./cursor-sub.ts";
import type {
  AppendFrame,
  ConsumeFrame,
  ReadFrame,
  SettleRecordsFrame,
  Start,
  StreamRecord,
} from "./frame.ts";
import { answerSettled, checkBatch } from "./queue-messages.ts";
import { BATCH_BYTES } from "./queue-receivers.ts";
import { type Handled, HOLD, holdFor, Refusal } from "./refusal.ts";
import { mustLabel, mustRead, mustWrite } from "./rights.ts";
import {
  firstToRead,
  isWanted,
  knownStream,
  lostBefore,
  streamRecordOf,
} from "./stream-content.ts";

const NEW: Start = { at: "new" };
const ACK_WAIT_MS = 30_000;
const UNACKED_MAX = 1_000;
/** Records that one `read` looks at when its filter leaves most of them out. */
const LOOKED_AT_MAX = 16_384;

/** All of them or none, in one commit. Hot path: per message. */
export function append(caller: Caller, frame: AppendFrame): Handled {
  const { broker, options, session } = caller;
  const { counters } = broker;
  checkBatch(caller, frame.messages.length);
  mustWrite(caller, "stream", frame.stream);
  const stream = knownStream(caller, frame.stream);
  for (const message of frame.messages) {
    if (message.topic !== undefined) {
      checkTopic(message.topic, options, counters);
      mustLabel(caller, message.topic, stream.name);
    }
    checkContent(message, options, counters);
  }
  if (holdFor(broker.store.refusal()) === HOLD) return HOLD;
  const now = broker.clock.now();
  const publisherId = session.clientId;
  const messages = frame.messages.map((one) => {
    const topic = broker.topics.of(one.topic ?? stream.name);
    counters.payloadBytesReceived += one.payload?.length ?? 0;
    const message = messageOf(one, { topic, qos: 1, retain: false, publisherId, now });
    return { message, messageId: one.messageId };
  });
  const result = stream.appendAll(messages, frame.expectedSequence, now);
  if (!result.isTaken) {
    counters.refused++;
    if (result.refusal === "full") throw new Refusal("full", "the stream is full");
    const { nextSequence } = result;
    throw new Refusal("wrong-sequence", `the next sequence is ${nextSequence}`, { nextSequence });
  }
  const { sequences, duplicates, commit } = result;
  caller.answer(frame.id, messages.length === 0 ? NO_COMMIT : commit, {
    sequences,
    ...(duplicates === 0 ? {} : { duplicates }),
  });
  return undefined;
}

export function read(caller: Caller, frame: ReadFrame): void {
  const { broker, options } = caller;
  const { store, clock } = broker;
  const { max = options.limits.batchMax, filter } = frame;
  checkBatch(caller, max);
  mustRead(caller, "stream", frame.stream);
  const stream = knownStream(caller, frame.stream);
  if (filter !== undefined) checkFilter(filter, options, broker.counters);
  const first = firstToRead(caller, stream, frame.from);
  const bytesMax = Math.min(frame.maxBytes ?? BATCH_BYTES, options.limits.frameBytesMax);
  const records: StreamRecord[] = [];
  const gone = lostBefore(frame.from, first);
  const lost: (readonly [number, number])[] = gone === undefined ? [] : [gone];
  let next: number = first;
  let bytes = 0;
  while (records.length < max && bytes < bytesMax && next - first < LOOKED_AT_MAX) {
    const batch = store.read(stream.log, next as Sequence, max - records.length, bytesMax - bytes);
    for (const record of batch.records) {
      if (!isWanted(record, filter, clock)) continue;
      broker.patternCounts.stream.countOut(record);
      records.push(streamRecordOf(record, clock, undefined));
      bytes += frameBytes(record);
    }
    for (const { from, to } of batch.damaged) lost.push([from, to]);
    if (batch.next <= next) break;
    next = batch.next;
  }
  caller.reply(frame.id, { records, next, ...(lost.length === 0 ? {} : { lost }) });
}

export function consume(caller: Caller, frame: ConsumeFrame): Handled {
  const { broker, options, subs } = caller;
  const { filter, deadLetterStream, consumer: name } = frame;
  mustRead(caller, "stream", frame.stream);
  const stream = knownStream(caller, frame.stream);
  if (filter !== undefined) checkFilter(filter, options, broker.counters);
  if (deadLetterStream !== undefined) {
    mustWrite(caller, "stream", deadLetterStream);
    knownStream(caller, deadLetterStream);
  }
  if (name === undefined) {
    consumeAlone(caller, stream, frame);
    return undefined;
  }
  if (holdFor(broker.store.refusal()) === HOLD) return HOLD;
  const id = subs.nextId();
  const before = broker.consumers.get(stream, name);
  const consumer = openConsumer(caller, stream, { ...frame, consumer: name }, before);
  const isChanged = consumer !== before || changes(consumer, frame);
  const commit = isChanged ? broker.store.openCommit : NO_COMMIT;
  if (consumer === before && isChanged) {
    broker.consumers.update(consumer, settingsOf({ ...frame, consumer: name }, consumer.settings));
  }
  const { isGroup = false } = frame;
  const sub = new ConsumerSub(caller, id, consumer, subs.creditOf(frame.credit), isGroup);
  subs.add(sub);
  caller.answer(frame.id, commit, { sub: id, isNew: before === undefined }, () => {
    if (subs.get(id) !== sub) return;
    if (consumer.isDeleted) sub.onForgotten();
    else sub.start();
  });
  return undefined;
}

function consumeAlone(caller: Caller, stream: Stream, frame: ConsumeFrame): void {
  const { subs } = caller;
  const { from = NEW } = frame;
  const id = subs.nextId();
  const first = firstToRead(caller, stream, from);
  const sub = new CursorSub(caller, id, stream, frame, first, lostBefore(from, first));
  subs.add(sub);
  caller.reply(frame.id, { sub: id });
  sub.start();
}

type DurableFrame = ConsumeFrame & { readonly consumer: string };

/** The one there is, or a new one. */
function openConsumer(
  { broker }: Caller,
  stream: Stream,
  frame: DurableFrame,
  known: Consumer | undefined,
): Consumer {
  if (known !== undefined) return known;
  const start = frame.from ?? NEW;
  const made = broker.consumers.create(stream, settingsOf(frame, undefined), start);
  if (made === undefined) throw new Refusal("limit-exceeded", "there are too many consumers");
  return made;
}

/** What is asked for, else what it was, else the defaults. */
function settingsOf(frame: DurableFrame, before: ConsumerSettings | undefined): ConsumerSettings {
  const { stream, consumer: name, filter, ackWaitMs, unackedMax, deliveriesMax } = frame;
  return {
    stream,
    name,
    filter: filter ?? before?.filter,
    ackWaitMs: ackWaitMs ?? before?.ackWaitMs ?? ACK_WAIT_MS,
    unackedMax: unackedMax ?? before?.unackedMax ?? UNACKED_MAX,
    deliveriesMax: deliveriesMax ?? before?.deliveriesMax ?? 0,
    deadLetterStream: frame.deadLetterStream ?? before?.deadLetterStream,
  };
}

/** Whether a frame asks for something else than what a consumer is told. */
function changes({ settings }: Consumer, frame: ConsumeFrame): boolean {
  const asked = settingsOf({ ...frame, consumer: settings.name }, settings);
  return (Object.keys(asked) as (keyof ConsumerSettings)[]).some(
    (field) => asked[field] !== settings[field],
  );
}

/** Hot path: per frame of acknowledgements. */
export function settleRecords(caller: Caller, frame: SettleRecordsFrame): void {
  const sub = caller.subs.get(frame.sub);
  checkBatch(caller, frame.sequences?.length ?? 0);
  if (!(sub instanceof ConsumerSub)) {
    throw new Refusal("not-found", "there is no such sub of a durable consumer");
  }
  const sequences = sub.meant(frame);
  answerSettled(caller, frame.id, sub.settle(frame, sequences), sequences);
}
