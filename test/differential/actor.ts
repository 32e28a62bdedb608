import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Decoder } from "../../src/mqtt/decoder.ts";
import { type OutgoingPacket, PacketType, type ProtocolVersion } from "../../src/mqtt/packet.ts";
import { decodeUtf8 } from "../../src/mqtt/utf8.ts";
import { packetBytes } from "../support/packet-bytes.ts";

const WAIT_MS = 5_000;

/** A message that came. */
export interface Received {
  readonly topic: string;
  readonly payload: string;
  readonly qos: number;
  readonly retain: boolean;
  readonly identifiers: readonly number[];
}

/** One network connection of a client that acknowledges whatever comes. */
export class Actor {
  /** What came since the last `take`, but for what belongs to the delivery of messages. */
  readonly #messages: Received[] = [];
  readonly #answers: { type: PacketType; packetId: number; text: string }[] = [];
  readonly #socket: Socket;
  readonly #version: ProtocolVersion;
  readonly #decoder = new Decoder({ role: "client", packetBytesMax: 1_048_576 });
  #wake: (() => void) | undefined;
  /** Packets that came, PINGRESP apart. */
  arrived = 0;
  isClosed = false;
  /** Why, as the broker said it. */
  farewell = "closed";

  private constructor(socket: Socket, version: ProtocolVersion) {
    this.#socket = socket;
    this.#version = version;
    this.#decoder.protocolVersion = version;
    socket.on("error", () => undefined);
    socket.on("data", (bytes) => this.#onData(bytes));
    socket.on("close", () => {
      this.isClosed = true;
      this.#wake?.();
    });
  }

  static async open(port: number, version: ProtocolVersion): Promise<Actor> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    await once(socket, "connect");
    return new Actor(socket, version);
  }

  send(packet: OutgoingPacket): void {
    if (!this.#socket.destroyed) this.#socket.write(packetBytes(packet, this.#version));
  }

  /** Sends and waits for the answer of this type; resolves with its text, or how the connection ended. */
  async ask(packet: OutgoingPacket, type: PacketType, packetId = 0): Promise<string> {
    this.send(packet);
    const find = (): number =>
      this.#answers.findIndex((each) => each.type === type && each.packetId === packetId);
    await this.#until(() => find() >= 0);
    const index = find();
    return index < 0 ? this.farewell : (this.#answers.splice(index, 1)[0]?.text ?? "");
  }

  /** PINGREQ and PINGRESP: what was on its way before has come. */
  async ping(): Promise<void> {
    if (!this.isClosed) await this.ask({ type: PacketType.pingreq }, PacketType.pingresp);
  }

  /** What came since the last call. */
  takeMessages(): Received[] {
    return this.#messages.splice(0);
  }

  /** Ends the network connection and waits until it is gone. */
  async end(isAbrupt: boolean): Promise<void> {
    if (isAbrupt) this.#socket.resetAndDestroy();
    else this.#socket.end();
    await this.#until(() => this.isClosed);
  }

  async untilClosed(): Promise<void> {
    await this.#until(() => this.isClosed);
  }

  async #until(isTrue: () => boolean): Promise<void> {
    const deadline = performance.now() + WAIT_MS;
    while (!isTrue() && !this.isClosed) {
      const leftMs = deadline - performance.now();
      // Silence is an observation too.
      if (leftMs <= 0) {
        this.farewell = "no answer";
        this.#socket.destroy();
        return;
      }
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, leftMs);
      });
      clearTimeout(timer);
      this.#wake = undefined;
    }
  }

  #onData(bytes: Uint8Array): void {
    this.#decoder.feed(bytes);
    try {
      for (let next = this.#decoder.next(); next !== undefined; next = this.#decoder.next()) {
        this.#onPacket(next);
      }
    } catch (error) {
      this.farewell = `undecodable: ${error instanceof Error ? error.message : String(error)}`;
      this.#socket.destroy();
    }
    this.#wake?.();
  }

  #onPacket(packet: NonNullable<ReturnType<Decoder["next"]>>): void {
    if (packet.type !== PacketType.pingresp) this.arrived++;
    switch (packet.type) {
      case PacketType.publish: {
        const { bytes, qos, retain, packetId, properties } = packet;
        this.#messages.push({
          topic: decodeUtf8(bytes, packet.topicStart, packet.topicEnd),
          payload: Buffer.from(bytes.subarray(packet.payloadStart, packet.payloadEnd)).toString(),
          qos,
          retain,
          // The same one for each of several subscriptions, or once.
          identifiers: [...new Set(properties?.subscriptionIdentifiers)].sort((a, b) => a - b),
        });
        if (qos > 0) {
          const type = qos === 1 ? PacketType.puback : PacketType.pubrec;
          this.send({ type, packetId, reasonCode: 0 });
        }
        return;
      }
      case PacketType.pubrel:
        this.send({ type: PacketType.pubcomp, packetId: packet.packetId, reasonCode: 0 });
        return;
      case PacketType.disconnect:
        this.farewell = `DISCONNECT ${hex(packet.reasonCode)}`;
        return;
      default:
        this.#answers.push(answerOf(packet));
    }
  }
}

function answerOf(packet: Exclude<NonNullable<ReturnType<Decoder["next"]>>, { qos: number }>): {
  type: PacketType;
  packetId: number;
  text: string;
} {
  const packetId = "packetId" in packet ? packet.packetId : 0;
  let text = "";
  if ("sessionPresent" in packet) text = packet.sessionPresent ? "present " : "new ";
  if ("reasonCode" in packet) text += hex(packet.reasonCode);
  if ("reasonCodes" in packet) text += packet.reasonCodes.map(hex).join(" ");
  return { type: packet.type, packetId, text };
}

const hex = (code: number): string => `0x${code.toString(16).padStart(2, "0")}`;
