/**
 * Wills: on disk from CONNECT on, so that a crash cannot swallow them. After a crash each is due at the restart plus its
 * delay, unless its session resumes before [MQTT 5.0 section 3.1.2.5]. Whether its principal may publish it is asked when
 * that happens: its rights may have changed meanwhile.
 *
 * On disk: delayMs:f64 messageExpiryMs:f64 (-1: none) message; for a principal with a name before it a byte 0x81, which no
 * delay begins with, the number of its bytes:u16, and its name.
 */
import { after, type Instant } from "../lib/clock.ts";
import type { Deadline, DeadlineHeap } from "../lib/deadline-heap.ts";
import { ANONYMOUS, type Principal } from "./authenticator.ts";
import type { Due } from "./due.ts";
import type { Message } from "./message.ts";
import { decodeMessageRecord, encodeMessageRecord } from "./message-record.ts";
import { clientIdOf, WILL_PREFIX, willKey } from "./session-records.ts";
import type { Store } from "./store.ts";
import type { TopicTable } from "./topic.ts";

/** First byte of the record of a will with a principal: as a delay it would be below zero. */
const WITH_PRINCIPAL = 0x81;

const utf8 = new TextEncoder();
const text = new TextDecoder();

export interface Will {
  /** In whose name it is published. */
  readonly principal: Principal;
  /** Owns its payload. */
  readonly message: Message;
  readonly delayMs: number;
  /** Message expiry interval, counted from the publication; undefined: none. */
  readonly messageExpiryMs: number | undefined;
}

interface Kept {
  readonly will: Will;
  deadline: Deadline<Due> | undefined;
}

export class Wills {
  readonly #store: Store;
  readonly #deadlines: DeadlineHeap<Due>;
  readonly #publish: (message: Message, principal: Principal) => void;
  readonly #kept = new Map<string, Kept>();

  constructor(
    store: Store,
    deadlines: DeadlineHeap<Due>,
    publish: (message: Message, principal: Principal) => void,
  ) {
    this.#store = store;
    this.#deadlines = deadlines;
    this.#publish = publish;
  }

  /** The will of a new connection; replaces none: the old one is settled before (see cancel, publishNow). */
  set(clientId: string, will: Will): void {
    this.#kept.set(clientId, { will, deadline: undefined });
    this.#store.put("meta", willKey(clientId), encodeWill(will));
  }

  has(clientId: string): boolean {
    return this.#kept.has(clientId);
  }

  /** In whose name the will is published, if there is one. */
  principalOf(clientId: string): Principal {
    return this.#kept.get(clientId)?.will.principal;
  }

  /** The will is not to be published: normal DISCONNECT, or the session goes on in time [MQTT-3.1.2-10, 3.1.3-9]. */
  cancel(clientId: string): void {
    const kept = this.#kept.get(clientId);
    if (kept === undefined) return;
    this.#deadlines.cancel(kept.deadline);
    this.#kept.delete(clientId);
    this.#store.remove("meta", willKey(clientId));
  }

  /** The connection was lost: publishes now or when the delay is over, or the session ends, whichever is first. */
  arm(clientId: string, now: Instant, sessionExpiryMs: number): void {
    const kept = this.#kept.get(clientId);
    if (kept === undefined) return;
    const delayMs = Math.min(kept.will.delayMs, sessionExpiryMs);
    if (delayMs <= 0) this.publishNow(clientId, now);
    else this.#schedule(clientId, kept, after(now, delayMs));
  }

  #schedule(clientId: string, kept: Kept, dueAt: Instant): void {
    const onDue = (now: Instant): void => this.publishNow(clientId, now);
    kept.deadline = this.#deadlines.add(dueAt, { onDue });
  }

  /** Publishes the will if there is one; it goes from disk in the same commit. */
  publishNow(clientId: string, now: Instant): void {
    const kept = this.#kept.get(clientId);
    if (kept === undefined) return;
    this.cancel(clientId);
    const { message, messageExpiryMs, principal } = kept.will;
    message.receivedAt = now;
    message.expiresAt = messageExpiryMs === undefined ? undefined : after(now, messageExpiryMs);
    this.#publish(message, principal);
  }

  /** After a restart: all wills on disk are armed. Returns how many records were damaged. */
  recover(topics: TopicTable, now: Instant, sessionExpiryMs: (clientId: string) => number): number {
    let damaged = 0;
    for (const [key, value] of this.#store.scan("meta", WILL_PREFIX)) {
      const clientId = clientIdOf(key);
      const will = decodeWill(value, topics);
      if (will === undefined) {
        damaged++;
        this.#store.remove("meta", key);
        continue;
      }
      const kept: Kept = { will, deadline: undefined };
      this.#kept.set(clientId, kept);
      // By the timer at the earliest, so that recovery itself publishes nothing.
      const delayMs = Math.max(1, Math.min(will.delayMs, sessionExpiryMs(clientId)));
      this.#schedule(clientId, kept, after(now, delayMs));
    }
    return damaged;
  }
}

function encodeWill(will: Will): Uint8Array {
  const head = encodePrincipal(will.principal);
  const message = encodeMessageRecord(will.message);
  const start = head.length;
  const bytes = new Uint8Array(start + 16 + message.length);
  const view = new DataView(bytes.buffer);
  bytes.set(head);
  view.setFloat64(start, will.delayMs);
  view.setFloat64(start + 8, will.messageExpiryMs ?? -1);
  bytes.set(message, start + 16);
  return bytes;
}

function encodePrincipal(principal: Principal): Uint8Array {
  if (principal === undefined) return new Uint8Array(0);
  const name = utf8.encode(principal);
  const head = new Uint8Array(3 + name.length);
  head[0] = WITH_PRINCIPAL;
  new DataView(head.buffer).setUint16(1, name.length);
  head.set(name, 3);
  return head;
}

function decodeWill(record: Uint8Array, topics: TopicTable): Will | undefined {
  if (record[0] !== WITH_PRINCIPAL) return decodeWillOf(ANONYMOUS, record, topics);
  if (record.length < 3) return undefined;
  const end = 3 + new DataView(record.buffer, record.byteOffset).getUint16(1);
  return decodeWillOf(text.decode(record.subarray(3, end)), record.subarray(end), topics);
}

function decodeWillOf(
  principal: Principal,
  bytes: Uint8Array,
  topics: TopicTable,
): Will | undefined {
  if (bytes.length < 16) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const message = decodeMessageRecord(bytes.subarray(16), topics);
  if (message === undefined) return undefined;
  const delayMs = view.getFloat64(0);
  const messageExpiryMs = view.getFloat64(8);
  if (!(delayMs >= 0) || Number.isNaN(messageExpiryMs)) return undefined;
  return {
    principal,
    message,
    delayMs,
    messageExpiryMs: messageExpiryMs < 0 ? undefined : messageExpiryMs,
  };
}
