import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Decoder } from "../../src/mqtt/decoder.ts";
import { PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { connectPacket, packetBytes } from "../support/packet-bytes.ts";

const WAIT_MS = 10_000;

/** What came from the broker: type, and the reason code of the packet, or of its first filter. */
export interface Answer {
  readonly type: PacketType;
  readonly reasonCode: number;
}

/** One network connection that sends bytes as they are, and notes what comes back. */
export class CaseClient {
  readonly answers: Answer[] = [];
  isClosed = false;
  readonly #socket: Socket;
  readonly #decoder = new Decoder({ role: "client", packetBytesMax: 1_048_576 });
  #wake: (() => void) | undefined;

  private constructor(socket: Socket, version: ProtocolVersion) {
    this.#socket = socket;
    this.#decoder.protocolVersion = version;
    socket.on("error", () => undefined);
    socket.on("data", (bytes) => this.#onData(bytes));
    socket.on("close", () => {
      this.isClosed = true;
      this.#wake?.();
    });
  }

  /** @param version what the broker's answers are read in */
  static async open(port: number, version: ProtocolVersion): Promise<CaseClient> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    await once(socket, "connect");
    return new CaseClient(socket, version);
  }

  /** CONNECT with a clean session; fails unless it is accepted. */
  async connect(clientId: string, version: ProtocolVersion): Promise<void> {
    this.send(packetBytes(connectPacket(clientId, version), version));
    await this.until(() => this.answers.length > 0);
    const [connack] = this.answers.splice(0);
    if (connack?.type !== PacketType.connack || connack.reasonCode !== 0) {
      throw new Error(`CONNECT was answered with ${JSON.stringify(connack)}`);
    }
  }

  send(bytes: Uint8Array): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes);
  }

  /** Sends PINGREQ; true once PINGRESP came: all that was sent before was taken. False: the connection is closed. */
  async isAlive(): Promise<boolean> {
    this.send(Buffer.of(0xc0, 0));
    const isPong = ({ type }: Answer): boolean => type === PacketType.pingresp;
    await this.until(() => this.isClosed || this.answers.some(isPong));
    return !this.isClosed;
  }

  /** Resolves when it is true or nothing can come any more; fails after a while. */
  async until(isTrue: () => boolean): Promise<void> {
    const deadline = performance.now() + WAIT_MS;
    while (!isTrue() && !this.isClosed) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) throw new Error(`nothing came but ${JSON.stringify(this.answers)}`);
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, leftMs);
      });
      clearTimeout(timer);
      this.#wake = undefined;
    }
  }

  async end(): Promise<void> {
    this.#socket.destroy();
    await this.until(() => this.isClosed);
  }

  #onData(bytes: Uint8Array): void {
    // Before the broker knows the client's version, it answers with a CONNACK of 3.1.1, which has two bytes.
    if (bytes[0] === 0x20 && bytes[1] === 2) this.#decoder.protocolVersion = ProtocolVersion.v311;
    this.#decoder.feed(bytes);
    for (let next = this.#decoder.next(); next !== undefined; next = this.#decoder.next()) {
      let reasonCode = 0;
      if ("reasonCode" in next) reasonCode = next.reasonCode;
      else if ("reasonCodes" in next) reasonCode = next.reasonCodes[0] ?? 0;
      this.answers.push({ type: next.type, reasonCode });
    }
    this.#wake?.();
  }
}
