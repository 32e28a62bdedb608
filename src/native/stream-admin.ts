/** Streams and their consumers as things: made, changed, emptied, deleted, listed, looked at. */
import type { Consumer } from "../broker/consumer.ts";
import { NO_COMMIT } from "../broker/store.ts";
import type { Stream, StreamSettings } from "../broker/stream.ts";
import type { Caller } from "./caller.ts";
import { checkFilter, wallOf } from "./content.ts";
import type {
  ConsumerFrame,
  ListFrame,
  StreamFrame,
  StreamPurgeFrame,
  StreamSettingsFrame,
} from "./frame.ts";
import { pageOf } from "./page.ts";
import { type Handled, HOLD, holdFor, Refusal } from "./refusal.ts";
import { maySee, mustHoldUp, mustManage, mustRead, mustSubscribe } from "./rights.ts";
import { knownStream } from "./stream-content.ts";

/** Of streams that say nothing else. */
const BYTES_MAX = 1_073_741_824;

/** Undefined: none, which 0 asks for. */
const limitOf = (asked: number | undefined, before: number | undefined): number | undefined =>
  asked === 0 ? undefined : (asked ?? before);

/** What is asked for, else what it was, else the defaults. */
function settingsOf(
  caller: Caller,
  frame: StreamSettingsFrame,
  before: StreamSettings | undefined,
): StreamSettings {
  const { defaults } = caller.broker.patternLimits;
  const { stream: name } = frame;
  return {
    name,
    filters: frame.filters ?? before?.filters ?? [],
    bytesMax: limitOf(frame.maxBytes, before?.bytesMax ?? BYTES_MAX) ?? Number.MAX_SAFE_INTEGER,
    messagesMax: limitOf(frame.maxMessages, before?.messagesMax),
    ageMaxMs: limitOf(frame.maxAgeMs, before?.ageMaxMs),
    whenFull: frame.whenFull ?? before?.whenFull ?? "reject",
    retain: frame.retain ?? before?.retain ?? "until-delivered",
    duplicateWindowMs:
      frame.duplicateWindowMs ?? before?.duplicateWindowMs ?? defaults.duplicateWindowMs,
  };
}

/** Who captures topics reads them from then on. */
function checkFilters(caller: Caller, filters: readonly string[] | undefined): void {
  for (const filter of filters ?? []) {
    checkFilter(filter, caller.options, caller.broker.counters);
    if (filter.startsWith("$")) throw new Refusal("bad-frame", "$ topics are not captured");
    mustSubscribe(caller, filter);
  }
}

function checkHolding(caller: Caller, { whenFull, filters }: StreamSettings): void {
  if (whenFull === "reject") mustHoldUp(caller, filters);
}

export function createStream(caller: Caller, frame: StreamSettingsFrame): Handled {
  const { broker } = caller;
  mustManage(caller, "stream", frame.stream);
  checkFilters(caller, frame.filters);
  if (broker.streams.get(frame.stream) !== undefined) {
    throw new Refusal("exists", "there is such a stream");
  }
  if (broker.streams.size >= broker.patternLimits.streamsMax) {
    broker.counters.limitStreams++;
    throw new Refusal("limit-exceeded", "there are too many streams");
  }
  const settings = settingsOf(caller, frame, undefined);
  checkHolding(caller, settings);
  if (holdFor(broker.store.refusal()) === HOLD) return HOLD;
  broker.streams.create(settings);
  caller.answer(frame.id, broker.store.openCommit, {});
  return undefined;
}

/** @throws Refusal for a stream of the configuration */
function changeable(caller: Caller, name: string): Stream {
  mustManage(caller, "stream", name);
  const stream = knownStream(caller, name);
  if (caller.broker.streams.isMadeAtRunTime(stream)) return stream;
  throw new Refusal("not-authorized", "the stream comes from the configuration: change it there");
}

export function updateStream(caller: Caller, frame: StreamSettingsFrame): void {
  const stream = changeable(caller, frame.stream);
  checkFilters(caller, frame.filters);
  const settings = settingsOf(caller, frame, stream.settings);
  checkHolding(caller, settings);
  caller.answer(frame.id, caller.broker.streams.update(stream, settings), {});
}

/** With all that is in it and its consumers; sessions get what they are owed of it. */
export function deleteStream(caller: Caller, frame: StreamFrame): Handled {
  const { broker } = caller;
  const stream = changeable(caller, frame.stream);
  if (!broker.copyOwed(stream, undefined)) return HOLD;
  for (const consumer of [...broker.consumers.of(stream)]) broker.consumers.delete(consumer);
  caller.answer(frame.id, broker.streams.delete(stream), {});
  return undefined;
}

export function purgeStream(caller: Caller, frame: StreamPurgeFrame): Handled {
  const { broker } = caller;
  mustManage(caller, "stream", frame.stream);
  const stream = knownStream(caller, frame.stream);
  if (!broker.copyOwed(stream, frame.before)) return HOLD;
  const count = stream.purge(frame.before);
  caller.answer(frame.id, count === 0 ? NO_COMMIT : broker.store.openCommit, { count });
  return undefined;
}

export function streamInfo(caller: Caller, frame: StreamFrame): void {
  const { broker } = caller;
  mustRead(caller, "stream", frame.stream);
  const stream = knownStream(caller, frame.stream);
  const { firstSequence, nextSequence, bytes, oldestAt } = broker.store.stats(stream.log);
  const { settings } = stream;
  const { messagesMax, ageMaxMs } = settings;
  caller.reply(frame.id, {
    stream: stream.name,
    messages: nextSequence - firstSequence,
    bytes,
    firstSequence,
    nextSequence,
    ...(oldestAt === undefined ? {} : { oldestAt: wallOf(broker.clock, oldestAt) }),
    consumers: [...broker.consumers.of(stream)].length,
    isConfigured: !broker.streams.isMadeAtRunTime(stream),
    settings: {
      filters: settings.filters,
      maxBytes: settings.bytesMax,
      ...(messagesMax === undefined ? {} : { maxMessages: messagesMax }),
      maxAgeMs: ageMaxMs ?? 0,
      whenFull: settings.whenFull,
      retain: settings.retain ?? "until-delivered",
      duplicateWindowMs: settings.duplicateWindowMs ?? 0,
    },
  });
}

export function listStreams(caller: Caller, frame: ListFrame): void {
  const { broker } = caller;
  const seen = broker.streams.all.filter(({ name }) => maySee(caller, "stream", name));
  const { page, more } = pageOf(seen, frame, caller.options.limits.batchMax);
  const streams = page.map(({ name, log }) => {
    const { firstSequence, nextSequence, bytes } = broker.store.stats(log);
    return { stream: name, messages: nextSequence - firstSequence, bytes };
  });
  caller.reply(frame.id, { streams, more });
}

function consumerView({ deliveries, settings, holders, name }: Consumer): object {
  const { filter, deadLetterStream, ackWaitMs, unackedMax, deliveriesMax } = settings;
  return {
    consumer: name,
    floor: deliveries.floor,
    unsettled: deliveries.size,
    unacked: deliveries.inHands,
    ...(deliveries.held === 0 ? {} : { held: deliveries.held }),
    members: holders.size,
    settings: {
      ...(filter === undefined ? {} : { filter }),
      ackWaitMs,
      unackedMax,
      deliveriesMax,
      ...(deadLetterStream === undefined ? {} : { deadLetterStream }),
    },
  };
}

function knownConsumer(caller: Caller, frame: ConsumerFrame): Consumer {
  mustRead(caller, "stream", frame.stream);
  const consumer = caller.broker.consumers.get(knownStream(caller, frame.stream), frame.consumer);
  if (consumer === undefined) throw new Refusal("not-found", "there is no such consumer");
  return consumer;
}

export function consumerInfo(caller: Caller, frame: ConsumerFrame): void {
  caller.reply(frame.id, { ...consumerView(knownConsumer(caller, frame)) });
}

export function deleteConsumer(caller: Caller, frame: ConsumerFrame): void {
  const commit = caller.broker.consumers.delete(knownConsumer(caller, frame));
  caller.answer(frame.id, commit, {});
}

export function listConsumers(caller: Caller, frame: StreamFrame): void {
  mustRead(caller, "stream", frame.stream);
  const consumers = [...caller.broker.consumers.of(knownStream(caller, frame.stream))];
  const shown = consumers.slice(0, caller.options.limits.batchMax);
  caller.reply(frame.id, {
    consumers: shown.map(consumerView),
    more: shown.length < consumers.length,
  });
}
