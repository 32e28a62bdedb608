import type { Socket } from "node:net";
import { CloseCode, Opcode } from "./websocket-input.ts";
import type { Wire } from "./wire.ts";

/** How long a peer may take to end what is closed before its socket is destroyed. */
const CLOSE_MS = 2_000;
/** Up to so many bytes go out as one piece, header and all: a copy is cheaper than what Node does around two pieces. */
const COPIED_BYTES_MAX = 16_384;
const FIN = 0x80;
/** From these lengths on the header has it in two, and in eight bytes more. */
const LENGTH_16 = 126;
const LENGTH_64 = 65_536;
const UINT32 = 0x1_0000_0000;

/** A header with room behind it; a server does not mask [RFC 6455 section 5.1]. Hot path: per message of a WebSocket. */
function frameFor(opcode: number, length: number, room: number): Buffer {
  const start = length < LENGTH_16 ? 2 : length < LENGTH_64 ? 4 : 10;
  const frame = Buffer.allocUnsafe(start + room);
  frame[0] = FIN | opcode;
  if (length < LENGTH_16) frame[1] = length;
  else if (length < LENGTH_64) {
    frame[1] = 126;
    frame[2] = length >>> 8;
    frame[3] = length;
  } else {
    frame[1] = 127;
    frame.writeUInt32BE(Math.floor(length / UINT32), 2);
    frame.writeUInt32BE(length % UINT32, 6);
  }
  return frame;
}

function wholeFrame(opcode: number, payload: Uint8Array): Buffer {
  const frame = frameFor(opcode, payload.length, payload.length);
  frame.set(payload, frame.length - payload.length);
  return frame;
}

/**
 * The sending end of a server's WebSocket: what was gathered during a turn is one message, binary but for frames in JSON.
 *
 *     open --closing, end--> closing (no more messages; the peer's close is waited for) --finish--> ended --> socket destroyed
 */
export class WebSocketWire implements Wire {
  readonly #stream: Socket;
  readonly #socket: Socket;
  readonly #opcode: number;
  #state: "open" | "closing" | "ended" = "open";

  /**
   * @param socket the network connection itself
   * @param stream what the WebSocket runs on: `socket`, or TLS on it
   */
  constructor(socket: Socket, stream: Socket, isBinary: boolean) {
    this.#socket = socket;
    this.#stream = stream;
    this.#opcode = isBinary ? Opcode.binary : Opcode.text;
  }

  get queuedBytes(): number {
    return this.#stream.writableLength;
  }

  get isGone(): boolean {
    return this.#stream.destroyed;
  }

  /** Messages still go both ways. */
  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Hot path: per message of a WebSocket. */
  write(bytes: Uint8Array, onWritten: () => void): void {
    const stream = this.#stream;
    if (this.#state !== "open") process.nextTick(onWritten);
    else if (bytes.length <= COPIED_BYTES_MAX) {
      stream.write(wholeFrame(this.#opcode, bytes), onWritten);
    } else {
      stream.cork();
      stream.write(frameFor(this.#opcode, bytes.length, 0));
      stream.write(bytes, onWritten);
      stream.uncork();
    }
  }

  /** Answers a ping. */
  pong(payload: Uint8Array): void {
    if (this.#state === "open") this.#stream.write(wholeFrame(Opcode.pong, payload));
  }

  setPaused(isPaused: boolean): void {
    if (isPaused && this.#state === "open") this.#stream.pause();
    else this.#stream.resume();
  }

  /** Sends that it closes, behind what was written; the peer's answer is to come, and then `finish`. */
  end(): void {
    this.#close(codeBytes(CloseCode.normal));
  }

  /**
   * Sends that it closes, with this code, or with what the peer closed with, unless that was sent; then ends the network connection
   * [RFC 6455 section 7.1]. What still comes is to be ignored.
   */
  finish(reason: CloseCode | Uint8Array): void {
    if (this.#state === "ended") return;
    this.#close(typeof reason === "number" ? codeBytes(reason) : reason);
    this.#state = "ended";
    this.#stream.end();
    const socket = this.#socket;
    const timer = setTimeout(() => socket.destroy(), CLOSE_MS).unref();
    socket.once("close", () => clearTimeout(timer));
  }

  #close(payload: Uint8Array): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#stream.write(wholeFrame(Opcode.close, payload));
    // So that the peer's answer and its end are seen.
    this.#stream.resume();
  }
}

const codeBytes = (code: number): Uint8Array => Uint8Array.of(code >>> 8, code);
