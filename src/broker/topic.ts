/**
 * Topic names. A `Topic` is interned: the same name gives the same object while it is in the table, so
 * that the hot path compares bytes with the connection's last topics and then works with one pointer.
 */

import { copyBytes } from "../lib/copy-bytes.ts";

const utf8 = new TextEncoder();

/** A topic name with its UTF-8 bytes and the cached route of its subscribers. */
export class Topic {
  readonly text: string;
  readonly bytes: Uint8Array;
  /** Version of the subscription tree that `route` was made from; -1: none. Owned by SubscriptionTree. */
  routeVersion = -1;
  /** Owned by SubscriptionTree. */
  route: unknown = undefined;
  /** Version of the streams' filters that `capture` was made from; -1: none. Owned by Streams. */
  captureVersion = -1;
  /** The stream that captures it; undefined: none. Owned by Streams. */
  capture: unknown = undefined;
  /** Version of the queues' filters that `queues` was made from; -1: none. Owned by Queues. */
  queuesVersion = -1;
  /** Owned by Queues. */
  queues: unknown = undefined;
  /** Where publishes to it go besides, by rules; undefined: not looked up yet. Owned by Routing. */
  rules: unknown = undefined;
  /** Messages accepted for it since it is in the table. Counted by Broker. */
  messages = 0;

  constructor(text: string, bytes: Uint8Array = utf8.encode(text)) {
    this.text = text;
    this.bytes = bytes;
  }
}

/** Most bytes of names in a table. */
const TABLE_BYTES_MAX = 4_194_304;

/** Who gives way in a full table: a walk over all slots in steps that have no factor in common with their number, nearly always. */
export const STEP = 40_503;

/**
 * How many of those that are looked up in vain find a place in a full table, or a full cache of routes: one in so many. Where more topics are
 * published to in turn than there is room for, those that are there mostly stay and are found again; a topic that is published to often comes in soon.
 */
export const MISSES_PER_PLACE = 16;

/**
 * A table of topics by name, bounded in their number and in bytes. When it is full a new topic takes the place of another now and then: a topic
 * that is held elsewhere stays valid, it only loses its identity with later ones, which costs one match.
 */
export class TopicTable {
  readonly #topics = new Map<string, Topic>();
  /** The same, to choose from. */
  readonly #slots: Topic[] = [];
  readonly #topicsMax: number;
  #bytes = 0;
  #misses = 0;
  #next = 0;

  constructor(topicsMax = 65_536) {
    this.#topicsMax = topicsMax;
  }

  /** All topics in the table. */
  all(): IterableIterator<Topic> {
    return this.#topics.values();
  }

  /** The topic of this name; made when it is not there. `source[start, end)`: its UTF-8, where the caller has it; copied. */
  of(text: string, source?: Uint8Array, start = 0, end = 0): Topic {
    const known = this.#topics.get(text);
    if (known !== undefined) return known;
    const topic = new Topic(text, source === undefined ? undefined : copyBytes(source, start, end));
    const { length } = topic.bytes;
    if (this.#isFullWith(length)) {
      this.#misses++;
      if (this.#misses % MISSES_PER_PLACE !== 0) return topic;
      while (this.#isFullWith(length)) this.#dropOne();
    }
    this.#bytes += length;
    this.#slots.push(topic);
    this.#topics.set(text, topic);
    return topic;
  }

  #isFullWith(bytes: number): boolean {
    return this.#slots.length >= this.#topicsMax || this.#bytes + bytes > TABLE_BYTES_MAX;
  }

  #dropOne(): void {
    this.#next = (this.#next + STEP) % this.#slots.length;
    const dropped = takeSlot(this.#slots, this.#next);
    if (dropped === undefined) return;
    this.#bytes -= dropped.bytes.length;
    this.#topics.delete(dropped.text);
  }
}

/** Takes one out; the last comes into its place. */
export function takeSlot<T>(slots: T[], at: number): T | undefined {
  const taken = slots[at];
  const last = slots.pop();
  if (at < slots.length && last !== undefined) slots[at] = last;
  return taken;
}

/** True when `name` may be published to: not empty, no wildcard, no NUL [MQTT-4.7.1-1, 4.7.3-1, 4.7.3-2]. */
export function isTopicName(name: string): boolean {
  if (name.length === 0) return false;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code === 0x23 || code === 0x2b || code === 0) return false;
  }
  return true;
}

/**
 * True when `filter` is a topic filter: `#` only as the last level, `+` only as a whole level, not empty,
 * no NUL [MQTT-4.7.1-1, 4.7.1-2, 4.7.3-1, 4.7.3-2].
 */
export function isTopicFilter(filter: string): boolean {
  if (filter.length === 0) return false;
  for (let i = 0; i < filter.length; i++) {
    const code = filter.charCodeAt(i);
    if (code === 0) return false;
    if (code !== 0x23 && code !== 0x2b) continue;
    const startsLevel = i === 0 || filter.charCodeAt(i - 1) === 0x2f;
    const endsFilter = i === filter.length - 1;
    if (!startsLevel) return false;
    if (code === 0x23 && !endsFilter) return false;
    if (code === 0x2b && !endsFilter && filter.charCodeAt(i + 1) !== 0x2f) return false;
  }
  return true;
}

/** The number of levels of a topic name or filter: one more than its slashes. */
export function levelCount(text: string): number {
  let count = 1;
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) === 0x2f) count++;
  return count;
}

/**
 * True when the topic filter matches the topic name. Plain and slow: for one filter against one topic
 * (capture rules, tests); many filters go through SubscriptionTree [MQTT 5.0 section 4.7].
 */
export function filterMatches(filter: string, topic: string): boolean {
  const filterLevels = filter.split("/");
  const topicLevels = topic.split("/");
  if (topic.startsWith("$") && (filterLevels[0] === "#" || filterLevels[0] === "+")) return false;
  for (let i = 0; i < filterLevels.length; i++) {
    const level = filterLevels[i];
    if (level === "#") return true;
    if (i >= topicLevels.length) return false;
    if (level !== "+" && level !== topicLevels[i]) return false;
  }
  return filterLevels.length === topicLevels.length;
}
