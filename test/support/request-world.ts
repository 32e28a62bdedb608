/** Requests in a real broker on a virtual clock, beside the model of them: each step is done to both, then they are compared. */
import assert from "node:assert/strict";
import { ProtocolVersion } from "../../src/mqtt/packet.ts";
import { type NativeClient, textOf } from "./native-client.ts";
import { type ModelResponder, type Recipients, RequestModel } from "./request-model.ts";
import { TestRequester } from "./test-requester.ts";
import type { VirtualClient } from "./virtual-client.ts";
import { PATTERNS, VirtualNode } from "./virtual-node.ts";

export const REQUESTERS = 3;
/** Two speak the native protocol, two MQTT 5 and one MQTT 3.1.1. */
export const RESPONDERS = 5;
const NATIVE = 2;
const OLD = 4;
const USERS = ["ann", "ann", undefined] as const;
const LIMITS = { requestsMax: 5, requestsPerClientMax: 3, timeoutMaxMs: 10_000 };
const CACHE_BYTES_MAX = 12_000;

/** Somebody has a request and may answer it, now and later. */
interface Handle {
  readonly request: string;
  readonly responder: number;
  /** A native one: as long as this is its connection, and once. */
  readonly connection: NativeClient | VirtualClient;
  /** The number of the request, or where its answer is published. */
  readonly to: number | string;
  isUsed: boolean;
}

export interface AskStep {
  readonly topic: string;
  readonly timeoutMs: number;
  readonly cacheKey: string | undefined;
  readonly cacheTtlMs: number;
}

const isNative = (responder: number): boolean => responder < NATIVE;

export class RequestWorld {
  readonly node = new VirtualNode({
    limits: {
      patterns: { ...PATTERNS, requests: { ...LIMITS, replyCacheBytesMax: CACHE_BYTES_MAX } },
    },
  });
  readonly model = new RequestModel(
    { ...LIMITS, cacheBytesMax: CACHE_BYTES_MAX },
    Array.from({ length: RESPONDERS }, (_, i) => responderOf(i)),
  );
  readonly #requesters: TestRequester[] = [];
  readonly #natives: NativeClient[] = [];
  readonly #devices: VirtualClient[] = [];
  /** The sub of each native responder. */
  readonly #subs: number[] = [];
  #handles: Handle[] = [];
  #asked = 0;
  #lastPacketId = 0;

  constructor() {
    this.#connect();
  }

  #connect(): void {
    for (let i = 0; i < REQUESTERS; i++) this.#requesters[i] = this.#requester(i);
    for (let i = 0; i < RESPONDERS; i++) this.#connectResponder(i);
  }

  #requester(index: number): TestRequester {
    return new TestRequester(this.node, `asker${index}`, USERS[index]);
  }

  #connectResponder(index: number): void {
    if (isNative(index)) {
      this.#natives[index] = this.node.native(`r${index}`);
      return;
    }
    const version = index === OLD ? ProtocolVersion.v311 : ProtocolVersion.v5;
    const device = this.node.connect(`r${index}`, { version });
    device.take();
    this.#devices[index] = device;
  }

  ask(requester: number, step: AskStep): void {
    const request = `q${this.#asked++}`;
    const { topic, ...options } = step;
    const asker = this.#requesters[requester];
    assert.ok(asker !== undefined);
    const tag = asker.ask(topic, request, options);
    const user = USERS[requester];
    const recipients = this.model.ask({ ...step, request, requester, user, tag }, this.node.now);
    this.#checkRecipients(request, recipients);
  }

  /** Asks once more for a reply that is known, for the user it is known to. */
  askKnown(pick: number): void {
    const { known } = this.model;
    const found = known[pick % Math.max(1, known.length)];
    if (found === undefined) return;
    const [user, topic, cacheKey] = JSON.parse(found.key) as [string | null, string, string];
    const requester = USERS.indexOf((user ?? undefined) as (typeof USERS)[number]);
    this.ask(requester, { topic, timeoutMs: 5_000, cacheKey, cacheTtlMs: 20_000 });
  }

  /** Asks under several keys, one after the other, and each is answered at once by whoever got it. */
  fill(requester: number, from: number, count: number, text: string): void {
    for (let i = from; i < from + count; i++) {
      this.ask(requester, {
        ...{ topic: "svc/a", timeoutMs: 5_000 },
        ...{ cacheKey: `f${i}`, cacheTtlMs: 20_000 },
      });
      const last = this.#handles.length - 1;
      if (this.#handles[last]?.request === `q${this.#asked - 1}`) {
        this.answer(last, text, undefined);
      }
    }
  }

  /** Everybody who should have got it, and nobody else. */
  #checkRecipients(request: string, { all, groups }: Recipients): void {
    const got: number[] = [];
    for (let i = 0; i < RESPONDERS; i++) {
      for (const handle of isNative(i) ? this.#takeNative(i) : this.#takeDevice(i)) {
        assert.equal(handle.request, request);
        this.#handles.push(handle);
        const responder = this.#responder(i);
        responder.credit--;
        got.push(i);
      }
    }
    const others = got.filter((one) => !all.includes(one));
    assert.deepEqual(
      got.filter((one) => all.includes(one)),
      all,
      "responders",
    );
    assert.equal(others.length, groups.length, "one of each group");
    for (const group of groups) {
      assert.equal(others.filter((one) => group.includes(one)).length, 1, "one of each group");
    }
  }

  #takeNative(index: number): Handle[] {
    const connection = this.#native(index);
    return connection.takeAll("request").map(({ request: to, payload, sub }) => {
      assert.equal(sub, this.#subs[index]);
      return {
        request: textOf(payload),
        ...{ responder: index, connection, to, isUsed: false },
      };
    });
  }

  #takeDevice(index: number): Handle[] {
    const connection = this.#device(index);
    return connection.takeMessages().map(({ payload, topic, properties }) => {
      const to = index === OLD ? topic.replace("cmd/", "reply/") : properties.responseTopic;
      assert.ok(to !== undefined);
      return {
        request: payload,
        ...{ responder: index, connection, to, isUsed: false },
      };
    });
  }

  /** Answers one of the requests that somebody got, perhaps a second time or too late. */
  answer(pick: number, text: string, error: string | undefined): void {
    const handle = this.#handles[pick % Math.max(1, this.#handles.length)];
    if (handle === undefined) return;
    const { responder } = handle;
    // Whoever is not written to is not read from either.
    if (!this.#responder(responder).hasRoom) return;
    if (isNative(responder)) this.#answerNative(handle, text, error);
    else if (responder === OLD) this.#answerOld(handle, text);
    else this.#answerDevice(handle, text, error);
  }

  #answerNative(handle: Handle, text: string, error: string | undefined): void {
    const { request, responder, connection, to } = handle;
    const native = this.#native(responder);
    if (native !== connection) return;
    const failure = error === undefined ? {} : { error };
    const frame = { op: "reply", request: to, payload: Buffer.from(text), ...failure };
    const isTaken = !handle.isUsed && this.model.answer(request, text, error, this.node.now);
    handle.isUsed = true;
    const answer = native.ask(frame);
    assert.equal(answer["code"], isTaken ? undefined : "not-found");
  }

  #answerDevice({ request, responder, to }: Handle, text: string, error: string | undefined): void {
    const device = this.#device(responder);
    const packetId = (this.#lastPacketId % 60_000) + 1;
    this.#lastPacketId = packetId;
    const userProperties: [string, string][] = error === undefined ? [] : [["rill-error", error]];
    device.publish(String(to), text, { qos: 1, packetId, properties: { userProperties } });
    const isTaken = this.model.answer(request, text, error, this.node.now);
    assert.deepEqual(device.takeText(), [`puback ${packetId}${isTaken ? "" : " 0x10"}`]);
  }

  /** By the convention nobody is told whether somebody waited. */
  #answerOld({ request, responder, to }: Handle, text: string): void {
    const device = this.#device(responder);
    device.publish(String(to), text);
    if (this.model.waiting.has(request)) this.model.answer(request, text, undefined, this.node.now);
  }

  /** A responder answers this filter from now on, instead of what it answered before. */
  respond(index: number, filter: string, isShared: boolean, credit: number): void {
    this.stopResponding(index);
    const responder = this.#responder(index);
    if (!responder.hasRoom) return;
    if (isNative(index)) {
      const group = isShared ? { group: "g" } : {};
      const { sub } = this.#native(index).ok({ op: "respond", filter, credit, ...group });
      this.#subs[index] = sub as number;
      responder.credit = credit;
    } else {
      const device = this.#device(index);
      device.subscribe(isShared ? `$share/g/${filter}` : filter);
      device.take();
    }
    responder.filter = filter;
    responder.isShared = isShared;
  }

  stopResponding(index: number): void {
    const responder = this.#responder(index);
    const { filter, isShared, hasRoom } = responder;
    if (filter === undefined || !hasRoom) return;
    if (isNative(index)) this.#native(index).ok({ op: "unsubscribe", sub: this.#subs[index] });
    else {
      const device = this.#device(index);
      device.unsubscribe(isShared ? `$share/g/${filter}` : filter);
      device.take();
    }
    responder.filter = undefined;
  }

  addCredit(index: number, add: number): void {
    const responder = this.#responder(index);
    if (!isNative(index) || responder.filter === undefined || !responder.hasRoom) return;
    this.#native(index).send({ op: "credit", sub: this.#subs[index], add });
    responder.credit += add;
  }

  /** Whether it can be written to. */
  setRoom(index: number, hasRoom: boolean): void {
    if (isNative(index)) return;
    this.#device(index).setRoom(hasRoom);
    this.#responder(index).hasRoom = hasRoom;
  }

  /** A responder is gone, and there again with nothing. */
  dropResponder(index: number): void {
    if (isNative(index)) this.#native(index).drop();
    else this.#device(index).lose();
    const responder = this.#responder(index);
    responder.filter = undefined;
    responder.hasRoom = true;
    this.#connectResponder(index);
  }

  dropRequester(index: number): void {
    this.#requesters[index]?.leave();
    this.model.forget(index);
    this.#requesters[index] = this.#requester(index);
  }

  advance(ms: number): void {
    // A client that says nothing for a minute is given up.
    for (const native of this.#natives) native.send({ op: "pong" });
    this.node.advance(ms);
    this.model.advance(this.node.now);
  }

  /** Time comes to the end of a reply that is known, or to a moment before it. */
  advanceToEnd(pick: number, earlyMs: number): void {
    const { known } = this.model;
    const found = known[pick % Math.max(1, known.length)];
    if (found !== undefined) this.advance(Math.max(0, found.until - this.node.now - earlyMs));
  }

  crash(): void {
    this.node.crash();
    this.model.crash();
    this.#connect();
  }

  compare(): void {
    const { requests, counters } = this.node.broker;
    for (const [index, requester] of this.#requesters.entries()) {
      // Those whose time is over at once come in any order.
      const told = requester.takeOutcomes().sort();
      assert.deepEqual(told, this.model.take(index).sort(), `requester ${index}`);
    }
    this.model.check(requests.size, requests.cacheBytes);
    assert.deepEqual(this.model.counts, {
      replied: counters.requestsReplied,
      cached: counters.requestsCached,
      failed: counters.requestsFailed,
      noResponder: counters.requestsNoResponder,
      timedOut: counters.requestsTimedOut,
      refused: counters.requestsRefused,
      late: counters.repliesLate,
    });
  }

  #native(index: number): NativeClient {
    const native = this.#natives[index];
    assert.ok(native !== undefined);
    return native;
  }

  #device(index: number): VirtualClient {
    const device = this.#devices[index];
    assert.ok(device !== undefined);
    return device;
  }

  #responder(index: number): ModelResponder {
    const responder = this.model.responders[index];
    assert.ok(responder !== undefined);
    return responder;
  }
}

function responderOf(index: number): ModelResponder {
  const credit = isNative(index) ? 0 : Number.POSITIVE_INFINITY;
  return { filter: undefined, isShared: false, isOld: index === OLD, credit, hasRoom: true };
}
