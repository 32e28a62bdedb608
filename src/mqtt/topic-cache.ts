import type { Topic, TopicTable } from "../broker/topic.ts";
import { decodeUtf8 } from "./utf8.ts";

const SLOTS = 16;
/** Longer names are not kept, in bytes: each connection may have its own. */
const NAME_BYTES_MAX = 256;

/**
 * The topics a connection published to last, found by their bytes: a device publishes to few topics, so that most
 * PUBLISH packets need neither a string nor a look-up.
 */
export class TopicCache {
  readonly #table: TopicTable;
  readonly #isAllowed: (topic: Topic) => boolean;
  /** Most publish to one topic only. */
  #last: Topic | undefined;
  /** Made for the second topic. */
  #slots: (Topic | undefined)[] | undefined;

  /** `isAllowed` says whether a client may publish to a topic; asked once per entry. */
  constructor(table: TopicTable, isAllowed: (topic: Topic) => boolean) {
    this.#table = table;
    this.#isAllowed = isAllowed;
  }

  /** The rules have changed: asks again. */
  clear(): void {
    this.#last = undefined;
    this.#slots = undefined;
  }

  /**
   * The topic with these bytes; undefined when it may not be published to. Hot path: per message.
   * @throws ProtocolError when it is not UTF-8 [MQTT-1.5.4-1]
   */
  of(bytes: Uint8Array, start: number, end: number): Topic | undefined {
    const length = end - start;
    const last = this.#last;
    if (last !== undefined && isSame(last.bytes, bytes, start, length)) return last;
    const slot = (length + (bytes[end - 1] ?? 0)) % SLOTS;
    const known = this.#slots?.[slot];
    if (known !== undefined && isSame(known.bytes, bytes, start, length)) return known;
    const topic = this.#table.of(decodeUtf8(bytes, start, end), bytes, start, end);
    if (!this.#isAllowed(topic)) return undefined;
    if (length <= NAME_BYTES_MAX) this.#keep(topic, slot);
    return topic;
  }

  #keep(topic: Topic, slot: number): void {
    if (this.#last === undefined) {
      this.#last = topic;
      return;
    }
    this.#slots ??= new Array<Topic | undefined>(SLOTS).fill(undefined);
    this.#slots[slot] = topic;
  }
}

function isSame(known: Uint8Array, bytes: Uint8Array, start: number, length: number): boolean {
  if (known.length !== length) return false;
  for (let i = length - 1; i >= 0; i--) if (known[i] !== bytes[start + i]) return false;
  return true;
}
