/**
 * What messages cost, counted without a clock: a whole broker over a store in memory, fed with bytes. Prints one line of JSON. Run by
 * budgets.test.ts with `--expose-gc` and a young generation so large that nothing is collected while a scenario is counted.
 */
import { ByteWriter } from "../../../src/lib/byte-writer.ts";
import { PacketType } from "../../../src/mqtt/packet.ts";
import { packMessagePack } from "../../../src/native/message-pack.ts";
import { publishPacket, type VirtualClient } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

/** Before the count: what is made once is made, and what is compiled once is compiled. */
const WARM_COUNTS = 4;
const WARM_TURNS = 2_000;
const WARM_MESSAGES = 60_000;
const TURNS_MAX = 1_000;
/** Of a turn with many messages fewer are enough. */
const MESSAGES = 10_000;
/** Counts, of which the second least is told: what is compiled meanwhile is not the messages' doing, nor, once, what is given back. */
const SAMPLES = 7;
const PAYLOAD = "x".repeat(64);

interface Work {
  /** One turn of the event loop. */
  readonly turn: () => void;
  /** Messages delivered by a turn; published ones where nobody listens. */
  readonly messagesPerTurn: number;
  readonly clients: readonly Pick<VirtualClient, "link">[];
  readonly node: VirtualNode;
}

/** Per message. */
interface Cost {
  readonly allocatedBytes: number;
  /** Links with output at the end of a turn: each is one write to a socket. */
  readonly writes: number;
  readonly commits: number;
}

/** Bytes arrive, and are not copied for it: a copy would be counted. */
function feed(node: VirtualNode, { connection }: VirtualClient, bytes: Uint8Array): void {
  connection.receive(bytes);
  node.turn();
}

function nodeWithStream(): VirtualNode {
  const filters = ["b/#"];
  const stream = { name: "all", filters, ageMaxMs: undefined, whenFull: "drop-oldest" } as const;
  return new VirtualNode({
    streams: [{ ...stream, bytesMax: 4_194_304, messagesMax: 1_000_000 }],
  });
}

function qos0(count: number, subscribers: number): Work {
  const node = new VirtualNode();
  const readers = Array.from({ length: subscribers }, (_, i) => node.connect(`reader-${i}`));
  for (const reader of readers) reader.subscribe("b/#");
  const writer = node.connect("writer");
  const one = publishPacket("b/000001/t", PAYLOAD);
  const bytes = writer.encode(...Array.from({ length: count }, () => one));
  const turn = (): void => feed(node, writer, bytes);
  return { turn, messagesPerTurn: count * subscribers, clients: [...readers, writer], node };
}

/** `count` messages of QoS 1 per turn, acknowledged by the subscriber, if any, in the next. */
function qos1(count: number, isDurable: boolean, isStreamed: boolean, subscribers: 0 | 1): Work {
  const node = isStreamed ? nodeWithStream() : new VirtualNode();
  const fields = isDurable ? { cleanStart: false } : {};
  const readers = Array.from({ length: subscribers }, () => node.connect("reader", fields));
  for (const reader of readers) reader.subscribe("b/#", { qos: 1 });
  const writer = node.connect("writer");
  const packets = Array.from({ length: count }, (_, i) =>
    publishPacket("b/000001/t", PAYLOAD, { qos: 1, packetId: i + 1 }),
  );
  const bytes = writer.encode(...packets);
  const acknowledged = new ByteWriter();
  const turn = (): void => {
    feed(node, writer, bytes);
    for (const reader of readers) {
      acknowledgementsOf(reader, acknowledged);
      feed(node, reader, acknowledged.bytes.subarray(0, acknowledged.end));
    }
  };
  return { turn, messagesPerTurn: count, clients: [...readers, writer], node };
}

/** The PUBACKs for what the client just got; all its packets are shorter than 128 bytes. */
function acknowledgementsOf({ link }: VirtualClient, to: ByteWriter): void {
  const { bytes, end } = link.output;
  to.clear();
  for (let at = 0; at < end; at += 2 + (bytes[at + 1] ?? 0)) {
    if ((bytes[at] ?? 0) >>> 4 !== PacketType.publish) continue;
    const idAt = at + 4 + (bytes[at + 3] ?? 0);
    to.writeByte(PacketType.puback << 4);
    to.writeByte(2);
    to.writeByte(bytes[idAt] ?? 0);
    to.writeByte(bytes[idAt + 1] ?? 0);
  }
}

const content = { payload: new Uint8Array(256) };
/** Deliveries are named by sequence and count. */
const NAME_FACTOR = 65_536;

/** `count` messages of a queue per turn, each in a frame of its own; acknowledged in the next turn, all in one frame. */
function queued(count: number): Work {
  const node = new VirtualNode();
  const [sender, receiver] = [node.native("sender"), node.native("receiver")];
  receiver.ok({ op: "queue.subscribe", queue: "q", credit: count });
  const send = { op: "send", id: 1, queue: "q", messages: [content] };
  const sends = packMessagePack(Array.from({ length: count }, () => send));
  let sequence = 1;
  const turn = (): void => {
    sender.sendRaw(sends);
    const deliveries = Array.from({ length: count }, () => sequence++ * NAME_FACTOR + 1);
    const settle = { op: "settle", id: 1, queue: "q", how: "ack", deliveries };
    receiver.sendRaw(packMessagePack([settle, { op: "credit", sub: 1, add: count }]));
  };
  return { turn, messagesPerTurn: count, clients: [sender, receiver], node };
}

/** `count` records of a stream per turn, in one answer. */
function recordsRead(count: number): Work {
  const node = new VirtualNode();
  const reader = node.native("reader");
  reader.ok({ op: "stream.create", stream: "s" });
  const messages = Array.from({ length: 100 }, () => content);
  for (let i = 0; i < count; i += 100) reader.ok({ op: "append", stream: "s", messages });
  const from = { at: "first" };
  const read = packMessagePack({ op: "read", id: 1, stream: "s", from, max: count });
  return {
    turn: () => reader.sendRaw(read),
    messagesPerTurn: count,
    clients: [reader],
    node,
  };
}

/** One request per turn, answered in the next. */
function requested(): Work {
  const node = new VirtualNode();
  const [requester, responder] = [node.native("requester"), node.native("responder")];
  responder.ok({ op: "respond", filter: "echo", credit: 1_000_000 });
  const ask = packMessagePack({
    op: "request",
    id: 1,
    topic: "echo",
    timeoutMs: 1_000,
    ...content,
  });
  let request = 1;
  const turn = (): void => {
    requester.sendRaw(ask);
    responder.sendRaw(packMessagePack({ op: "reply", request: request++, ...content }));
  };
  return { turn, messagesPerTurn: 1, clients: [requester, responder], node };
}

const SCENARIOS: Readonly<Record<string, () => Work>> = {
  "QoS 0, one at a time": () => qos0(1, 1),
  "QoS 0, batched": () => qos0(32, 1),
  "QoS 0, to 100 subscribers": () => qos0(1, 100),
  "QoS 0, batched, to 100 subscribers": () => qos0(32, 100),
  "QoS 1 into nothing": () => qos1(100, false, false, 0),
  "QoS 1, one at a time": () => qos1(1, false, false, 1),
  "QoS 1, clean session": () => qos1(50, false, false, 1),
  "QoS 1 into a stream": () => qos1(100, false, true, 0),
  "QoS 1 into a stream, one at a time": () => qos1(1, false, true, 0),
  "QoS 1 into a stream and a durable session": () => qos1(50, true, true, 1),
  "sent to a queue, received, acknowledged": () => queued(100),
  "read from a stream": () => recordsRead(300),
  "request and reply": () => requested(),
};

/** Everything allocated so far, as long as nothing was collected. */
function allocated(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function costOf({ turn, messagesPerTurn, clients, node }: Work): Cost {
  let writes = 0;
  const run = (): void => {
    turn();
    for (const { link } of clients) {
      if (link.output.end > 0) writes++;
      link.output.clear();
    }
  };
  const turns = Math.min(TURNS_MAX, Math.ceil(MESSAGES / messagesPerTurn));
  const warm = Math.min(WARM_TURNS, Math.ceil(WARM_MESSAGES / messagesPerTurn));
  for (let i = 0; i < Math.max(warm, turns * WARM_COUNTS); i++) run();
  writes = 0;
  const commits = node.disk.commits;
  const samples: number[] = [];
  for (let i = 0; i < SAMPLES; i++) {
    globalThis.gc?.();
    const before = allocated();
    for (let t = 0; t < turns; t++) run();
    samples.push((allocated() - before) / (turns * messagesPerTurn));
  }
  samples.sort((a, b) => a - b);
  const messages = SAMPLES * turns * messagesPerTurn;
  return {
    allocatedBytes: samples[1] ?? 0,
    writes: writes / messages,
    commits: (node.disk.commits - commits) / messages,
  };
}

if (globalThis.gc === undefined) throw new Error("needs --expose-gc");
const costs: Record<string, Cost> = {};
for (const [name, open] of Object.entries(SCENARIOS)) costs[name] = costOf(open());
process.stdout.write(`${JSON.stringify(costs)}\n`);
