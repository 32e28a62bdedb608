/** A WebSocket client that sends what it is told, byte by byte, and notes what comes as frames. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { Opcode } from "../../src/net/websocket-input.ts";
import { eventually } from "./json-process.ts";

const WAIT_MS = 10_000;
const END_OF_HEAD = "\r\n\r\n";

export interface ServerFrame {
  readonly opcode: number;
  readonly payload: Buffer;
}

const requestFor = (url: URL, subprotocol: string): Buffer =>
  Buffer.from(
    [
      `GET ${url.pathname} HTTP/1.1`,
      `Host: ${url.host}`,
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      `Sec-WebSocket-Protocol: ${subprotocol}`,
      END_OF_HEAD.slice(2),
    ].join("\r\n"),
  );

export class RawWebSocket {
  readonly socket: Socket;
  #bytes = Buffer.alloc(0);
  #isOpen = false;
  readonly #frames: ServerFrame[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      while (this.#take());
    });
  }

  /**
   * Connects.
   * @param behind bytes that go out in one piece with the handshake
   */
  static async open(
    t: { after(callback: () => void): void },
    url: string,
    subprotocol = "mqtt",
    behind: Uint8Array = Buffer.alloc(0),
  ): Promise<RawWebSocket> {
    const at = new URL(url.replace(/^rill/, "ws").replace(/^ws/, "http"));
    const where = { host: at.hostname, port: Number(at.port) };
    const isSecure = at.protocol === "https:";
    const socket = isSecure ? connectTls({ ...where, rejectUnauthorized: false }) : connect(where);
    t.after(() => socket.destroy());
    const raw = new RawWebSocket(socket);
    await once(socket, isSecure ? "secureConnect" : "connect", {
      signal: AbortSignal.timeout(WAIT_MS),
    });
    socket.write(Buffer.concat([requestFor(at, subprotocol), behind]));
    await eventually("the handshake is done", () => raw.#isOpen, WAIT_MS);
    return raw;
  }

  send(...parts: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  /** The next frame. */
  async next(): Promise<ServerFrame> {
    await eventually("a frame comes", () => this.#frames.length > 0, WAIT_MS);
    const frame = this.#frames.shift();
    if (frame === undefined) throw new Error("no frame");
    return frame;
  }

  /** Code and reason of the close frame behind whatever comes before it, and the end of the network connection. */
  async closed(): Promise<string> {
    for (;;) {
      const { opcode, payload } = await this.next();
      if (opcode !== Opcode.close) continue;
      await eventually("the connection ends", () => this.socket.closed, WAIT_MS);
      if (payload.length === 0) return "";
      return `${payload.readUInt16BE(0)} ${payload.subarray(2)}`.trim();
    }
  }

  #take(): boolean {
    const bytes = this.#bytes;
    if (!this.#isOpen) {
      const end = bytes.indexOf(END_OF_HEAD);
      if (end < 0) return false;
      if (!bytes.subarray(0, end).includes(" 101 ")) throw new Error(String(bytes));
      this.#isOpen = true;
      this.#bytes = bytes.subarray(end + END_OF_HEAD.length);
      return true;
    }
    const short = (bytes[1] ?? 0) & 0x7f;
    const start = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (bytes.length < start) return false;
    const length =
      short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : bytes.readUInt32BE(6);
    if (bytes.length < start + length) return false;
    const payload = bytes.subarray(start, start + length);
    this.#frames.push({ opcode: (bytes[0] ?? 0) & 0x0f, payload });
    this.#bytes = bytes.subarray(start + length);
    return true;
  }
}
