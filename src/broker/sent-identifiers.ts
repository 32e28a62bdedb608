/**
 * Identifiers of messages that queues took lately, in a log of their own, so that a restart does not forget them: the messages
 * themselves may be settled, and gone from their queue's log, before somebody who had no answer sends them again.
 *
 *     topic       name of the queue
 *     messageId   an attribute; absent: the queue was deleted
 *     payload     number of the queue (4 bytes), sequence (8 bytes; 0: it was delayed), both big-endian
 */
import type { Instant } from "../lib/clock.ts";
import { plainMessage } from "./message.ts";
import { firstSequenceAfter } from "./start-position.ts";
import type { LogId, LogRecord, Ordinal, Sequence, Store } from "./store.ts";
import type { TopicTable } from "./topic.ts";

const LOG_NAME = "queue-identifiers";
/** Identifiers of all queues together; the oldest go first. */
const RECORDS_MAX = 1_000_000;
const PAYLOAD_BYTES = 12;
const STEP_RECORDS = 1_000;
const STEP_BYTES = 1_048_576;

/** A message that a queue took, by the number of the queue. */
export interface SentIdentifier {
  readonly queue: number;
  /** Undefined: the queue was deleted; what was before is another one's. */
  readonly messageId: string | undefined;
  /** 0: it was delayed. */
  readonly sequence: Sequence;
  readonly at: Instant;
}

export class SentIdentifiers {
  readonly #store: Store;
  readonly #topics: TopicTable;
  readonly #log: LogId;

  constructor(store: Store, topics: TopicTable) {
    this.#store = store;
    this.#topics = topics;
    this.#log = store.openLog(LOG_NAME);
  }

  /** Goes with the open group. Hot path: per message with an identifier. */
  add(queueName: string, { queue, messageId, sequence, at }: SentIdentifier): void {
    const bytes = new Uint8Array(PAYLOAD_BYTES);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, queue);
    view.setBigUint64(4, BigInt(sequence));
    const properties = messageId === undefined ? undefined : { attributes: { messageId } };
    this.#store.append(this.#log, plainMessage(this.#topics.of(queueName), bytes, at, properties));
  }

  /** Reads all there is, oldest first. Returns how many records were damaged. */
  recover(visit: (identifier: SentIdentifier) => void): number {
    const { firstSequence, nextSequence } = this.#store.stats(this.#log);
    let damagedRecords = 0;
    for (let from = firstSequence; from < nextSequence; ) {
      const { records, next, damaged } = this.#store.read(
        this.#log,
        from,
        STEP_RECORDS,
        STEP_BYTES,
      );
      for (const range of damaged) damagedRecords += range.to - range.from + 1;
      for (const record of records) {
        const identifier = identifierOf(record);
        if (identifier === undefined) damagedRecords++;
        else visit(identifier);
      }
      if (next <= from) break;
      from = next;
    }
    return damagedRecords;
  }

  /** Lets go of what is older than every window, and of what is too much. */
  trim(now: Instant, windowMs: number): void {
    const { oldestAt, firstSequence, nextSequence } = this.#store.stats(this.#log);
    if (oldestAt === undefined) return;
    const isOld = (at: Instant): boolean => now - at >= windowMs;
    const first = isOld(oldestAt)
      ? firstSequenceAfter(this.#store, this.#log, isOld)
      : firstSequence;
    const before = Math.max(first, nextSequence - RECORDS_MAX) as Sequence;
    if (before > firstSequence) {
      this.#store.trim(this.#log, before, Number.MAX_SAFE_INTEGER as Ordinal);
    }
  }
}

function identifierOf(record: LogRecord): SentIdentifier | undefined {
  const { bytes, payloadStart, payloadEnd, properties, receivedAt } = record;
  if (payloadEnd - payloadStart !== PAYLOAD_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + payloadStart, PAYLOAD_BYTES);
  return {
    queue: view.getUint32(0),
    messageId: properties?.attributes?.messageId,
    sequence: Number(view.getBigUint64(4)) as Sequence,
    at: receivedAt,
  };
}
