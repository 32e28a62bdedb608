/**
 * The native protocol in this process: codecs, connection and patterns on a store in memory under virtual time. Each input is one connection
 * with a conversation, right or spoiled; some stay open beside those that come later. After every input it is checked that
 *
 *   - nothing was thrown, and no object has become another one;
 *   - what the broker wrote can be decoded, and no request was answered more often than it was asked;
 *   - nothing was delivered beyond the credit that was given;
 *   - every request of a conversation that is right is answered in the end;
 *   - no bound on sessions, streams, queues, consumers and requests is exceeded;
 *
 * and now and then that other clients are served in every pattern, and that nothing is left once all is deleted.
 */
import assert from "node:assert/strict";
import { type ServerFrame, SUBPROTOCOLS, type Subprotocol } from "../../src/native/frame.ts";
import { codecOf } from "../../src/native/frame-codec.ts";
import { FrameError } from "../../src/native/frame-fields.ts";
import type { NativeClient } from "../support/native-client.ts";
import { PATTERNS, VirtualNode } from "../support/virtual-node.ts";
import type { Chance } from "./chance.ts";
import { nativeConversation } from "./native-conversation.ts";
import { spoiledMessages } from "./native-mutations.ts";
import { Tally } from "./tally.ts";

const SESSIONS_MAX = 12;
const QUEUES_MAX = 6;
const STREAMS_MAX = 5;
const CONSUMERS_MAX = 6;
const REQUESTS_MAX = 8;
const CREDIT_MAX = 100;
const STORE_BYTES_MAX = 4_000_000;
const FRAME_BYTES_MAX = 65_536;
/** Longest that anything waits in a conversation that is right. */
const WAIT_MS = 2_500;
const OPEN_MAX = 4;
const SERVED_EVERY = 25;
const CLEANED_EVERY = 500;

/** What came and went on one connection. */
interface Ledger {
  readonly client: NativeClient;
  readonly subprotocol: Subprotocol;
  readonly asked: Map<number, number>;
  readonly answered: Map<number, number>;
  credit: number;
  delivered: number;
}

export class NativeTarget {
  /** Frames by op, as they were sent. */
  readonly ops = new Tally();
  readonly outcomes = new Tally();
  readonly ways = new Tally();
  readonly #node = new VirtualNode({
    storeBytesMax: STORE_BYTES_MAX,
    outbound: { memoryBacklogBytesMax: 65_536 },
    retained: { messagesMax: 50, bytesMax: 65_536 },
    streams: [{ name: "captured", filters: ["t/#"], bytesMax: 20_000, whenFull: "drop-oldest" }],
    routing: { routes: new Map([["known", [{ kind: "queue", name: "q0" }]]]), rules: [] },
    limits: {
      sessionsMax: SESSIONS_MAX,
      subscriptionsPerSessionMax: 20,
      patterns: {
        ...PATTERNS,
        queuesMax: QUEUES_MAX,
        streamsMax: STREAMS_MAX,
        consumersMax: CONSUMERS_MAX,
        requests: {
          requestsMax: REQUESTS_MAX,
          requestsPerClientMax: REQUESTS_MAX,
          timeoutMaxMs: WAIT_MS,
          replyCacheBytesMax: 4_096,
        },
        defaults: { ...PATTERNS.defaults, messagesMax: 200, bytesMax: 40_000, deliveriesMax: 3 },
      },
    },
    native: {
      limits: {
        frameBytesMax: FRAME_BYTES_MAX,
        payloadBytesMax: FRAME_BYTES_MAX,
        requestsMax: 50,
        batchMax: 100,
        subsMax: 10,
        creditMax: CREDIT_MAX,
        idleMs: 30_000,
      },
      holdMaxMs: 1_000,
    },
  });
  readonly #open: Ledger[] = [];
  readonly #other = this.#node.native("other");
  readonly #device = this.#node.connect("device");
  #inputs = 0;

  constructor() {
    this.#device.subscribe("served", { qos: 1 });
    this.#other.ok({ op: "subscribe", filter: "served", credit: CREDIT_MAX });
    this.#other.ok({ op: "respond", filter: "served/ask", credit: CREDIT_MAX });
  }

  /** One input. @throws whatever is wrong with the broker */
  run(chance: Chance): void {
    const subprotocol = chance.pick(SUBPROTOCOLS);
    const { messages, ways } = spoiledMessages(nativeConversation(chance), chance, subprotocol);
    const ledger = this.#dial(subprotocol);
    for (const bytes of messages) {
      if (ledger.client.isClosed || bytes.length > FRAME_BYTES_MAX) continue;
      this.#note(ledger, bytes);
      ledger.client.sendRaw(bytes);
      this.#take(ledger);
    }
    for (const way of ways.length === 0 ? ["nothing"] : ways) this.ways.add(way);
    if (ways.length === 0) this.#awaitAnswers(ledger);
    this.#keepOrLose(ledger, chance);
    this.#node.advance(chance.oneIn(10) ? chance.below(3_000) : 1);
    for (const open of this.#open) this.#take(open);
    this.#checkBounds();
    this.#inputs++;
    if (this.#inputs % SERVED_EVERY === 0) this.#serveOthers();
    if (this.#inputs % CLEANED_EVERY === 0) this.finish();
  }

  /** Ends everything, deletes what was made and checks that nothing is left. */
  finish(): void {
    for (const { client } of this.#open.splice(0)) client.drop();
    this.#serveOthers();
    const { broker } = this.#node;
    for (const { name } of [...broker.queues.all()]) {
      this.#other.ok({ op: "queue.delete", queue: name });
    }
    for (const { name } of [...broker.streams.all]) {
      if (name !== "captured") this.#other.ok({ op: "stream.delete", stream: name });
    }
    for (const { name } of [...broker.consumers.of(this.#captured)]) {
      this.#other.ok({ op: "consumer.delete", stream: "captured", consumer: name });
    }
    this.#node.advance(WAIT_MS);
    assert.equal(broker.sessions.size, 2, "sessions are left");
    assert.equal(broker.subscriptionCount, 3, "subscriptions are left");
    assert.equal(broker.readers.size, 0, "readers are left");
    assert.equal(broker.requests.size, 0, "requests are left");
    assert.deepEqual([broker.queues.size, broker.streams.size, broker.consumers.size], [0, 1, 0]);
  }

  get #captured(): Parameters<VirtualNode["broker"]["consumers"]["of"]>[0] {
    const captured = this.#node.broker.streams.get("captured");
    assert.ok(captured !== undefined, "a stream of the configuration is gone");
    return captured;
  }

  #dial(subprotocol: Subprotocol): Ledger {
    const client = this.#node.dialNative(subprotocol);
    return { client, subprotocol, asked: new Map(), answered: new Map(), credit: 0, delivered: 0 };
  }

  /** What a message asks for, as the broker is to understand it. */
  #note(ledger: Ledger, bytes: Buffer): void {
    let frames: readonly unknown[];
    try {
      frames = codecOf(ledger.subprotocol).decode(bytes);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.ops.add("?");
      return;
    }
    for (const frame of frames) {
      if (typeof frame !== "object" || frame === null) continue;
      const { op, id, credit, add } = frame as Record<string, unknown>;
      this.ops.add(typeof op === "string" && op.length < 20 ? op : "?");
      if (Number.isSafeInteger(id)) count(ledger.asked, id as number);
      for (const given of [credit, add]) {
        if (typeof given === "number" && given > 0) ledger.credit += Math.min(given, CREDIT_MAX);
      }
    }
  }

  /** Looks at what came. */
  #take(ledger: Ledger): void {
    for (const frame of ledger.client.takeFrames()) {
      const { id } = frame as { readonly id?: number };
      if (id !== undefined && frame.op !== "ping") count(ledger.answered, id);
      ledger.delivered += itemsIn(frame);
      this.outcomes.add("code" in frame ? `${frame.op} ${frame.code}` : frame.op);
    }
    for (const [id, answers] of ledger.answered) {
      assert.ok(answers <= (ledger.asked.get(id) ?? 0), `${id} was answered too often`);
    }
    assert.ok(ledger.delivered <= ledger.credit, `${ledger.delivered} beyond the credit`);
    assert.deepEqual(Object.keys(Object.prototype), []);
    assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
  }

  #awaitAnswers(ledger: Ledger): void {
    if (ledger.client.isClosed) return;
    this.#node.advance(WAIT_MS);
    this.#take(ledger);
    if (!ledger.client.isClosed) assert.deepEqual(ledger.answered, ledger.asked, "not answered");
  }

  #keepOrLose(ledger: Ledger, chance: Chance): void {
    if (ledger.client.isClosed || chance.oneIn(2)) {
      ledger.client.drop();
      return;
    }
    this.#open.push(ledger);
    if (this.#open.length > OPEN_MAX) this.#open.shift()?.client.drop();
  }

  #checkBounds(): void {
    const { broker, failures } = this.#node;
    assert.ok(broker.sessions.size <= SESSIONS_MAX);
    assert.ok(broker.queues.size <= QUEUES_MAX);
    assert.ok(broker.streams.size <= STREAMS_MAX);
    assert.ok(broker.consumers.size <= CONSUMERS_MAX);
    assert.ok(broker.requests.size <= REQUESTS_MAX);
    assert.ok(broker.requests.cacheBytes <= 4_096);
    assert.deepEqual(failures, []);
    this.#node.losses.length = 0;
    this.#node.givenUp.length = 0;
    this.#node.consumerLosses.length = 0;
  }

  /** Clients that mean well get everything that they should. */
  #serveOthers(): void {
    const other = this.#other;
    assert.equal(other.isClosed, false, "another client was closed");
    const payload = Buffer.from(`served ${this.#inputs}`);
    other.takeFrames();
    other.send(
      { op: "credit", sub: 1, add: CREDIT_MAX },
      { op: "credit", sub: 2, add: CREDIT_MAX },
    );
    other.send({ op: "publish", id: 1, topic: "served", payload }, { op: "pong" });
    other.send({ op: "request", id: 2, topic: "served/ask", timeoutMs: 1_000, payload });
    const got = other.takeFrames();
    assert.ok(got.some((frame) => frame.op === "event" && same(frame.payload, payload)));
    assert.ok(got.some((frame) => frame.op === "ok" && frame.id === 1));
    const request = got.find((frame) => frame.op === "request");
    assert.ok(request !== undefined && "request" in request, "no request came");
    other.send({ op: "reply", request: request.request, payload });
    const [answer] = other.takeFrames();
    assert.ok(answer?.op === "ok" && answer.id === 2 && same(answer["payload"], payload));
    this.#device.take();
    this.#device.publish("served", "x");
    assert.ok(this.#device.take().length > 0, "a device is not served");
    other.takeFrames();
  }
}

const same = (found: unknown, expected: Uint8Array): boolean =>
  found instanceof Uint8Array && Buffer.from(found).equals(expected);

function count(counts: Map<number, number>, id: number): void {
  counts.set(id, (counts.get(id) ?? 0) + 1);
}

/** How much of the credit a frame takes. */
function itemsIn(frame: ServerFrame): number {
  if (frame.op === "event" || frame.op === "request") return 1;
  if (frame.op === "records") return frame.records.length;
  return frame.op === "deliveries" ? frame.deliveries.length : 0;
}
