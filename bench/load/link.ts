import { connect, type Socket } from "node:net";
import { encodeConnect, encodeSubscribe } from "./packets.ts";

const REPLY_MS_MAX = 10_000;

/**
 * Takes `bytes[0, count)`, which are valid only during the call. Returns false to stop reading until
 * `Link.resume` is called.
 */
export type BytesReceived = (bytes: Uint8Array, count: number) => boolean;

/** One TCP connection of the load generator: reads into one reused buffer, Nagle's algorithm off. */
export class Link {
  readonly #socket: Socket;
  #received: BytesReceived = () => true;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  /**
   * Connects to a broker on loopback and does the MQTT handshake. Rejects when the broker refuses, closes or does
   * not answer within 10 s. `onLost` is called once when the connection ends later, unless `close` was called.
   */
  static async open(options: {
    readonly port: number;
    readonly clientId: string;
    readonly cleanStart: boolean;
    readonly readBufferBytes: number;
    readonly onLost: (reason: string) => void;
  }): Promise<Link> {
    const link = new Link(
      connect({
        port: options.port,
        host: "127.0.0.1",
        noDelay: true,
        onread: {
          buffer: new Uint8Array(options.readBufferBytes),
          callback: (count, bytes) => link.#received(bytes, count),
        },
      }),
    );
    link.#socket.on("error", (error) => options.onLost(`${options.clientId}: ${error.message}`));
    link.#socket.on("end", () => options.onLost(`${options.clientId}: closed by the broker`));
    const reply = await link.#exchange(encodeConnect(options.clientId, options.cleanStart), 4);
    if (reply[0] !== 0x20 || reply[3] !== 0) {
      throw new Error(`CONNACK expected, got ${reply.toString("hex")}`);
    }
    return link;
  }

  /** Subscribes with one topic filter. Rejects unless the broker grants exactly `qos`. */
  async subscribe(topicFilter: string, qos: 0 | 1): Promise<void> {
    const reply = await this.#exchange(encodeSubscribe(1, topicFilter, qos), 5);
    if (reply[0] !== 0x90 || reply[4] !== qos) {
      throw new Error(`SUBACK with QoS ${qos} expected, got ${reply.toString("hex")}`);
    }
  }

  /** From now on `received` gets everything that arrives. */
  receive(received: BytesReceived): void {
    this.#received = received;
  }

  /** Reads again after `received` returned false. */
  resume(): void {
    this.#socket.resume();
  }

  /** Writes bytes, which must not change before `onWritten` is called: then the operating system has them all. */
  write(bytes: Uint8Array, onWritten?: () => void): void {
    this.#socket.write(bytes, onWritten);
  }

  /** Drops the connection and everything not yet written. */
  close(): void {
    this.#socket.removeAllListeners("end");
    this.#socket.destroy();
  }

  #exchange(request: Buffer, replyBytes: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      let reply = Buffer.alloc(0);
      const fail = (reason: string): void => {
        clearTimeout(timer);
        reject(new Error(reason));
      };
      const timer = setTimeout(() => fail("no reply within 10 s"), REPLY_MS_MAX);
      this.#socket.once("close", () => fail("closed before it replied"));
      this.#received = (bytes, count) => {
        reply = Buffer.concat([reply, bytes.subarray(0, count)]);
        if (reply.length > replyBytes) fail(`more than a reply: ${reply.toString("hex")}`);
        if (reply.length === replyBytes) {
          clearTimeout(timer);
          resolve(reply);
        }
        return true;
      };
      this.#socket.write(request);
    });
  }
}
