/**
 * The process of the peer `reference`. It speaks just enough MQTT for the handshake. Without a subscriber it is a
 * sink; with one it forwards whole packets as they are, gathered per turn of the event loop. It answers a QoS 1
 * PUBLISH with its PUBACK, and matches, stores and checks nothing.
 */
import { createServer, type Socket } from "node:net";
import { INCOMPLETE, packetBytes, publishPacketId } from "../load/packets.ts";

const CONNACK = Buffer.from([0x20, 2, 0, 0]);
const QOS_BITS = 0x06;

let subscriber: Socket | undefined;
let gathered: Buffer[] = [];
let isFlushDue = false;
const publishers = new Set<Socket>();

function flush(): void {
  isFlushDue = false;
  const bytes = gathered.length === 1 ? gathered[0] : Buffer.concat(gathered);
  gathered = [];
  if (subscriber === undefined || bytes === undefined || subscriber.write(bytes)) return;
  for (const publisher of publishers) publisher.pause();
  subscriber.once("drain", () => {
    for (const publisher of publishers) publisher.resume();
  });
}

function forward(run: Buffer): void {
  if (subscriber === undefined) return;
  gathered.push(run);
  if (isFlushDue) return;
  isFlushDue = true;
  setImmediate(flush);
}

/** The PUBACKs for `bytes[0, end)`, whole PUBLISH packets of QoS 1. */
function acknowledgementsOf(bytes: Buffer, end: number): Buffer {
  const acknowledgements: number[] = [];
  for (let at = 0; at < end; at += packetBytes(bytes, at, end)) {
    const packetId = publishPacketId(bytes, at);
    acknowledgements.push(0x40, 2, packetId >>> 8, packetId & 0xff);
  }
  return Buffer.from(acknowledgements);
}

function wholePacketsEnd(bytes: Buffer): number {
  let at = 0;
  while (at < bytes.length) {
    const size = packetBytes(bytes, at, bytes.length);
    if (size === INCOMPLETE || at + size > bytes.length) break;
    at += size;
  }
  return at;
}

function receiveFrom(publisher: Socket): (chunk: Buffer) => void {
  let held: Buffer = Buffer.alloc(0);
  const qosBits = { value: 0, isKnown: false };
  return (chunk) => {
    if (!qosBits.isKnown) {
      qosBits.value = (chunk[0] ?? 0) & QOS_BITS;
      qosBits.isKnown = true;
    }
    if (subscriber === undefined && qosBits.value === 0) return; // a sink for QoS 0
    const bytes = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const end = wholePacketsEnd(bytes);
    held = bytes.subarray(end);
    if (end === 0) return;
    if (qosBits.value !== 0) publisher.write(acknowledgementsOf(bytes, end));
    forward(bytes.subarray(0, end));
  };
}

function begin(socket: Socket, chunk: Buffer): void {
  if (chunk[0] === 0x82) {
    subscriber = socket;
    const qos = chunk.at(-1) ?? 0;
    socket.on("data", () => {}); // its PUBACKs
    socket.write(Buffer.from([0x90, 3, chunk[2] ?? 0, chunk[3] ?? 0, qos]));
    return;
  }
  publishers.add(socket);
  const receive = receiveFrom(socket);
  socket.on("data", receive);
  receive(chunk);
}

const server = createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => socket.destroy());
  socket.once("data", () => {
    socket.write(CONNACK);
    socket.once("data", (chunk: Buffer) => begin(socket, chunk));
  });
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  process.stdout.write(`ready pid=${process.pid} mqtt://127.0.0.1:${port}\n`);
});
