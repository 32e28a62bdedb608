/** A durable session that wants everything: subscribes, leaves, and comes back for what waits. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { PacketWalker } from "../../bench/load/packet-walker.ts";
import { encodeConnect, encodeSubscribe } from "../../bench/load/packets.ts";
import { Reception } from "../../bench/load/reception.ts";

const CLIENT_ID = "footprint-collector";
const CONNACK = 2;
const SUBACK = 9;
const REPLY_MS_MAX = 30_000;
const POLL_MS = 50;

/** Connects with a kept session and shows every packet after the CONNACK; resolves when that has come. */
async function open(
  port: number,
  onPacket: (bytes: Uint8Array, at: number, size: number) => void,
  afterRead: (socket: Socket) => void,
): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await once(socket, "connect");
  socket.on("error", () => undefined);
  let isAccepted = false;
  const walker = new PacketWalker((bytes, at, size) => {
    if (isAccepted) onPacket(bytes, at, size);
    else isAccepted = (bytes[at] ?? 0) >>> 4 === CONNACK && bytes[at + 3] === 0;
  });
  socket.on("data", (chunk: Uint8Array) => {
    walker.feed(chunk);
    afterRead(socket);
  });
  socket.write(encodeConnect(CLIENT_ID, false));
  await until(() => isAccepted, REPLY_MS_MAX, "the collector is not accepted");
  return socket;
}

async function until(isTrue: () => boolean, timeoutMs: number, otherwise: string): Promise<void> {
  const untilMs = performance.now() + timeoutMs;
  while (!isTrue()) {
    if (performance.now() > untilMs) throw new Error(otherwise);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Makes the durable session with a subscription of QoS 1, and leaves. */
export async function leaveSubscription(port: number, topicFilter: string): Promise<void> {
  let isGranted = false;
  const onPacket = (bytes: Uint8Array, at: number): void => {
    if ((bytes[at] ?? 0) >>> 4 === SUBACK) isGranted = bytes[at + 4] === 1;
  };
  const socket = await open(port, onPacket, () => undefined);
  socket.write(encodeSubscribe(1, topicFilter, 1));
  await until(() => isGranted, REPLY_MS_MAX, "the collector's subscription is not granted");
  socket.destroy();
}

/**
 * Comes back and takes what waits, every PUBLISH of `publishBytes`, until `expected` have come or none came for `quietMs`.
 * @returns how many came
 */
export async function collect(options: {
  readonly port: number;
  readonly publishBytes: number;
  readonly expected: number;
  readonly quietMs: number;
}): Promise<number> {
  const reception = new Reception(1, options.publishBytes);
  let lastAt = performance.now();
  const socket = await open(options.port, reception.onPacket, (from) => {
    const acknowledgements = reception.takeAcknowledgements();
    if (acknowledgements !== undefined) from.write(Buffer.from(acknowledgements));
    lastAt = performance.now();
  });
  while (reception.received < options.expected && performance.now() - lastAt < options.quietMs) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  socket.destroy();
  return reception.received;
}
