/** Records of streams as frames have them, and what else requests about streams have in common. */
import { isExpired } from "../broker/message.ts";
import { startSequence } from "../broker/start-position.ts";
import type { LogRecord, Sequence } from "../broker/store.ts";
import type { Stream } from "../broker/stream.ts";
import { filterMatches } from "../broker/topic.ts";
import type { Clock } from "../lib/clock.ts";
import type { Caller } from "./caller.ts";
import { fillContent, wallOf } from "./content.ts";
import type { Start, StreamRecord } from "./frame.ts";
import { Refusal } from "./refusal.ts";

/** @throws Refusal when there is no such stream */
export function knownStream({ broker }: Caller, name: string): Stream {
  const stream = broker.streams.get(name);
  if (stream === undefined) throw new Refusal("not-found", "there is no such stream");
  return stream;
}

/** A record as frames have it; its payload is a view. Hot path: per record and reader. */
export function streamRecordOf(
  record: LogRecord,
  clock: Clock,
  deliveryCount: number | undefined,
): StreamRecord {
  const fields: StreamRecord = {
    sequence: record.sequence,
    topic: record.topic.text,
    storedAt: wallOf(clock, record.receivedAt),
    ...(deliveryCount === undefined ? {} : { deliveryCount }),
  };
  return fillContent(fields, record, clock);
}

/** The first sequence to be read. */
export function firstToRead({ broker }: Caller, stream: Stream, start: Start): Sequence {
  const { store, clock } = broker;
  return startSequence(store, stream.log, start, clock);
}

/** What was asked for and is not there any more; undefined: nothing. */
export function lostBefore(start: Start, first: number): [from: number, to: number] | undefined {
  const isLost = "sequence" in start && start.sequence > 0 && start.sequence < first;
  return isLost ? [start.sequence, first - 1] : undefined;
}

/** What matches and has not expired. Hot path: per record and reader. */
export const isWanted = (record: LogRecord, filter: string | undefined, clock: Clock): boolean =>
  (filter === undefined || filterMatches(filter, record.topic.text)) && !isExpired(record, clock);
