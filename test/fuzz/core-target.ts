/**
 * The whole core in this process: decoder, connections and broker on a store in memory under virtual time. Each input is one
 * network connection; some stay open beside those that come later. After every input it is checked that
 *
 *   - nothing was thrown: what the peer does wrong is an answer;
 *   - the decoder says the same however the input is cut;
 *   - what the broker wrote can be decoded, and no more protocol errors were counted than there are connections;
 *   - no bound on sessions, subscriptions and retained messages is exceeded;
 *
 * and now and then that another client is served, and that nothing is left once everything has expired.
 */
import assert from "node:assert/strict";
import { Decoder } from "../../src/mqtt/decoder.ts";
import { type Packet, PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { ProtocolError } from "../../src/mqtt/protocol-error.ts";
import type { VirtualClient } from "../support/virtual-client.ts";
import { PATTERNS, VirtualNode } from "../support/virtual-node.ts";
import { snapshot } from "../unit/mqtt/wire.ts";
import type { Chance } from "./chance.ts";
import { spoil } from "./mutations.ts";
import { Tally } from "./tally.ts";
import { validConversation } from "./valid-conversation.ts";

const PACKET_BYTES_MAX = 65_536;
const SESSIONS_MAX = 50;
const SUBSCRIPTIONS_MAX = 20;
const RETAINED_MAX = 100;
const RETAINED_BYTES_MAX = 65_536;
const EXPIRY_MAX_MS = 60_000;
const QUEUES_MAX = 5;
const QUEUE_MESSAGES_MAX = 100;
const OPEN_MAX = 4;
/** Another client is served after so many inputs. */
const SERVED_EVERY = 25;
/** Everything expires after so many inputs. */
const EXPIRED_EVERY = 1_000;
/** The decoder is tried with other cuts once in so many inputs. */
const RECUT_ONE_IN = 8;

const NAMES = new Map<number, string>(
  Object.entries(PacketType).map(([name, type]) => [type, name.toUpperCase()]),
);

interface Open {
  readonly client: VirtualClient;
  readonly version: ProtocolVersion;
}

export class CoreTarget {
  /** Inputs that came to the decoder of each packet type; "?" for types that there are none of. */
  readonly reached = new Tally();
  /** Packets that were decoded. */
  readonly decoded = new Tally();
  readonly outcomes = new Tally();
  readonly ways = new Tally();
  readonly #node = new VirtualNode({
    outbound: { backlogMessagesMax: 200, memoryBacklogBytesMax: 65_536, inflightMax: 50 },
    retained: { messagesMax: RETAINED_MAX, bytesMax: RETAINED_BYTES_MAX },
    limits: {
      sessionsMax: SESSIONS_MAX,
      subscriptionsPerSessionMax: SUBSCRIPTIONS_MAX,
      sessionExpiryMaxMs: EXPIRY_MAX_MS,
      patterns: {
        ...PATTERNS,
        queuesMax: QUEUES_MAX,
        defaults: { ...PATTERNS.defaults, messagesMax: QUEUE_MESSAGES_MAX, bytesMax: 65_536 },
      },
    },
    streams: [
      {
        name: "captured",
        filters: ["t/#"],
        bytesMax: 65_536,
        messagesMax: 500,
        ageMaxMs: undefined,
        whenFull: "drop-oldest",
      },
    ],
    connection: {
      packetBytesMax: PACKET_BYTES_MAX,
      sessionExpiryMaxMs: EXPIRY_MAX_MS,
      allowsPatternTopics: true,
    },
  });
  readonly #open: Open[] = [];
  #other: VirtualClient;
  #inputs = 0;

  constructor() {
    this.#other = this.#connectOther();
  }

  /** Retained messages now; the bound is part of what is checked. */
  get retainedMax(): number {
    return RETAINED_MAX;
  }

  /** One input. @throws whatever is wrong with the broker */
  run(chance: Chance): void {
    const { packets } = validConversation(chance);
    const { chunks, ways } = spoil(packets, chance);
    for (const way of ways.length === 0 ? ["nothing"] : ways) this.ways.add(way);
    const version = this.#shadow(Buffer.concat(chunks), chance);
    const { counters } = this.#node.broker;
    const before = counters.protocolErrors;
    const client = this.#node.dial();
    // Mostly what is on disk gets there in between.
    const isHasty = chance.oneIn(4);
    for (const chunk of chunks) {
      client.connection.receive(chunk);
      if (!isHasty) this.#node.turn();
    }
    this.#node.turn();
    // Those that are open may have been held, and go on now.
    const errorsMax = 1 + this.#open.length;
    assert.ok(counters.protocolErrors - before <= errorsMax, "more errors than connections");
    this.outcomes.add(this.#outcomeOf(client, version));
    this.#keepOrLose({ client, version }, chance);
    this.#node.advance(chance.oneIn(10) ? chance.below(5_000) : 1);
    this.#checkBounds();
    this.#inputs++;
    if (this.#inputs % SERVED_EVERY === 0) this.#serveOther();
    if (this.#inputs % EXPIRED_EVERY === 0) this.#expireAll();
  }

  /** Ends everything and checks that nothing is left. */
  finish(): void {
    this.#expireAll();
  }

  /** Decodes the input apart from the broker, to count what it reached; returns its version. */
  #shadow(bytes: Buffer, chance: Chance): ProtocolVersion {
    const decoder = new Decoder({ role: "server", packetBytesMax: PACKET_BYTES_MAX });
    const isRecut = chance.oneIn(RECUT_ONE_IN);
    const whole: unknown[] = [];
    // A second CONNECT is an error, in the version of the first.
    let version: ProtocolVersion | undefined;
    decoder.feed(bytes);
    for (;;) {
      const at = bytes.length - decoder.bufferedBytes;
      const name = NAMES.get((bytes[at] ?? 0) >>> 4) ?? "?";
      const packet = nextOf(decoder);
      if (packet === undefined) break;
      version ??= decoder.protocolVersion;
      this.reached.add(name);
      if (packet instanceof ProtocolError) {
        whole.push(packet.reasonCode);
        break;
      }
      this.decoded.add(name);
      if (isRecut) whole.push(snapshotOf(packet));
    }
    if (isRecut) assert.deepEqual(recut(bytes, chance), whole, "cut otherwise, decoded otherwise");
    return version ?? decoder.protocolVersion;
  }

  /** What the broker did, from what the client got. */
  #outcomeOf(client: VirtualClient, version: ProtocolVersion): string {
    const answers = takeAll(client, version);
    const last = answers.at(-1);
    if (last?.type === PacketType.disconnect) return `DISCONNECT ${hex(last.reasonCode)}`;
    const connack = answers.find(({ type }) => type === PacketType.connack);
    const code = connack !== undefined && "reasonCode" in connack ? connack.reasonCode : 0;
    if (code !== 0) return `CONNACK ${hex(code)}`;
    if (!client.isClosed) return connack === undefined ? "waits" : "accepted";
    return connack === undefined ? "closed before CONNACK" : "closed";
  }

  #keepOrLose(open: Open, chance: Chance): void {
    if (!open.client.isClosed && chance.oneIn(2)) {
      this.#open.push(open);
      if (this.#open.length <= OPEN_MAX) return;
      const oldest = this.#open.shift();
      if (oldest !== undefined) this.#lose(oldest);
    } else {
      this.#lose(open);
    }
  }

  #lose({ client, version }: Open): void {
    client.lose();
    takeAll(client, version);
  }

  #checkBounds(): void {
    const { broker } = this.#node;
    assert.ok(broker.sessions.size <= SESSIONS_MAX);
    assert.ok(broker.subscriptionCount <= SESSIONS_MAX * SUBSCRIPTIONS_MAX);
    assert.ok(broker.retained.size <= RETAINED_MAX);
    assert.ok(broker.retained.bytes <= RETAINED_BYTES_MAX);
    assert.ok(broker.queues.size <= QUEUES_MAX);
    for (const { messages } of broker.queues.all()) assert.ok(messages <= QUEUE_MESSAGES_MAX);
    assert.deepEqual(this.#node.failures, []);
    this.#node.givenUp.length = 0;
    this.#node.losses.length = 0;
  }

  #connectOther(): VirtualClient {
    const other = this.#node.connect("other-client");
    other.subscribe("other/+", { qos: 1 });
    other.take();
    return other;
  }

  #serveOther(): void {
    const text = `served ${this.#inputs}`;
    const packetId = 1 + (this.#inputs % 60_000);
    this.#takeOther();
    this.#other.publish("other/own", text, { qos: 1, packetId });
    const packets = this.#takeOther();
    assert.ok(
      packets.some((each) => "payload" in each && each.payload === text),
      "not served",
    );
    assert.ok(
      packets.some((each) => each.type === PacketType.puback && each.packetId === packetId),
    );
    assert.equal(this.#other.isClosed, false);
  }

  /** Takes what the other client got, and acknowledges it. */
  #takeOther(): ReturnType<VirtualClient["take"]> {
    const packets: ReturnType<VirtualClient["take"]> = [];
    for (let got = this.#other.take(); got.length > 0; got = this.#other.take()) {
      packets.push(...got);
      for (const each of got) {
        if (each.type !== PacketType.publish || each.qos === 0) continue;
        this.#other.ack(PacketType.puback, each.packetId);
      }
    }
    return packets;
  }

  #expireAll(): void {
    for (const open of this.#open.splice(0)) this.#lose(open);
    this.#serveOther();
    this.#node.advance(2 * EXPIRY_MAX_MS);
    const { broker } = this.#node;
    assert.equal(broker.sessions.size, 1, "sessions are left");
    assert.equal(broker.subscriptionCount, 1, "subscriptions are left");
    for (const { name, deliveries } of broker.queues.all()) {
      assert.equal(deliveries.receiverCount, 0, `somebody who is gone receives from ${name}`);
      assert.equal(deliveries.inHands, 0, `somebody who is gone has a message of ${name}`);
    }
    for (const queue of [...broker.queues.all()]) broker.queues.delete(queue);
    this.#node.turn();
    this.#serveOther();
  }
}

const hex = (code: number): string => `0x${code.toString(16).padStart(2, "0")}`;

/** The next packet, or the error that ends it all. @throws what is no ProtocolError */
function nextOf(decoder: Decoder): Packet | ProtocolError | undefined {
  try {
    return decoder.next();
  } catch (error) {
    if (error instanceof ProtocolError) return error;
    throw error;
  }
}

/** For comparison; a topic may turn out to be no UTF-8 here. */
function snapshotOf(packet: Packet): unknown {
  try {
    return snapshot(packet);
  } catch (error) {
    if (error instanceof ProtocolError) return `topic ${hex(error.reasonCode)}`;
    throw error;
  }
}

function recut(bytes: Buffer, chance: Chance): unknown[] {
  const decoder = new Decoder({ role: "server", packetBytesMax: PACKET_BYTES_MAX });
  const results: unknown[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = chance.between(1, 9);
    decoder.feed(bytes.subarray(at, at + size));
    at += size;
    for (let next = nextOf(decoder); next !== undefined; next = nextOf(decoder)) {
      if (next instanceof ProtocolError) return [...results, next.reasonCode];
      results.push(snapshotOf(next));
    }
  }
  return results;
}

/** Everything that the broker wrote to this client. @throws when it cannot be decoded */
function takeAll(
  client: VirtualClient,
  version: ProtocolVersion,
): readonly { type: PacketType; reasonCode: number }[] {
  const bytes = client.link.take();
  const decoder = new Decoder({ role: "client", packetBytesMax: 2 ** 28 });
  // Before the level of CONNECT is known, and for one that is not, the answer is that of 3.1.1.
  decoder.protocolVersion = bytes[0] === 0x20 && bytes[1] === 2 ? ProtocolVersion.v311 : version;
  decoder.feed(bytes);
  const packets: { type: PacketType; reasonCode: number }[] = [];
  for (let next = decoder.next(); next !== undefined; next = decoder.next()) {
    const reasonCode = "reasonCode" in next ? next.reasonCode : 0;
    packets.push({ type: next.type, reasonCode });
  }
  assert.equal(decoder.bufferedBytes, 0, "a packet of the broker is not complete");
  return packets;
}
