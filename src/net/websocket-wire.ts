import type { Socket } from "node:net";
import { DirectWrite, type WriteListener, writeDirectly } from "./direct-write.ts";
import { CloseCode, Opcode } from "./websocket-input.ts";
import { unsentBytes, type Wire } from "./wire.ts";

/** How long a peer may take to end what is closed before its socket is destroyed. */
const CLOSE_MS = 2_000;
/** Up to so many bytes go out as one piece, header and all: a copy is cheaper than what Node does around two pieces. */
const COPIED_BYTES_MAX = 16_384;
const FIN = 0x80;
/** From these lengths on the header has it in two, and in eight bytes more. */
const LENGTH_16 = 126;
const LENGTH_64 = 65_536;
const UINT32 = 0x1_0000_0000;

/** The largest header. */
const HEADER_BYTES_MAX = 10;

/** Frames are written from here as long as the system takes them at once. */
let scratch = Buffer.allocUnsafeSlow(HEADER_BYTES_MAX + COPIED_BYTES_MAX);

/** Writes a header and says where it ends; a server does not mask [RFC 6455 section 5.1]. Hot path: per message of a WebSocket. */
function writeHeader(frame: Buffer, opcode: number, length: number): number {
  frame[0] = FIN | opcode;
  if (length < LENGTH_16) {
    frame[1] = length;
    return 2;
  }
  if (length < LENGTH_64) {
    frame[1] = 126;
    frame[2] = length >>> 8;
    frame[3] = length;
    return 4;
  }
  frame[1] = 127;
  frame.writeUInt32BE(Math.floor(length / UINT32), 2);
  frame.writeUInt32BE(length % UINT32, 6);
  return HEADER_BYTES_MAX;
}

/** A frame of at most `COPIED_BYTES_MAX` in `scratch`; where it ends. Hot path: per message of a WebSocket. */
function writeFrame(opcode: number, payload: Uint8Array): number {
  const start = writeHeader(scratch, opcode, payload.length);
  scratch.set(payload, start);
  return start + payload.length;
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
    const { writableLength } = this.#stream;
    return this.#isPlain ? Math.max(writableLength, unsentBytes(this.#stream)) : writableLength;
  }

  /** Nothing is between the stream and the network. */
  get #isPlain(): boolean {
    return this.#stream === this.#socket;
  }

  get isGone(): boolean {
    return this.#stream.destroyed;
  }

  /** Messages still go both ways. */
  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Hot path: per message of a WebSocket. */
  write(bytes: Uint8Array, end: number, listener: WriteListener): boolean {
    const stream = this.#stream;
    const onWritten = (): void => listener.onWritten(bytes, end);
    if (this.#state !== "open") process.nextTick(onWritten);
    else if (end <= COPIED_BYTES_MAX) {
      return this.#writeCopy(bytes.subarray(0, end), onWritten);
    } else {
      stream.cork();
      stream.write(headerFor(this.#opcode, end));
      stream.write(bytes.subarray(0, end), onWritten);
      stream.uncork();
    }
    return false;
  }

  /** As one piece, header and all. */
  #writeCopy(payload: Uint8Array, onWritten: () => void): boolean {
    const stream = this.#stream;
    const end = writeFrame(this.#opcode, payload);
    if (this.#isPlain && !stream.writableEnded && stream.writableLength === 0) {
      const outcome = writeDirectly(stream, scratch, end, { onWritten });
      if (outcome === DirectWrite.taken) return true;
      if (outcome === DirectWrite.underWay) {
        scratch = Buffer.allocUnsafeSlow(scratch.length);
        return false;
      }
    }
    stream.write(Buffer.from(scratch.subarray(0, end)), onWritten);
    return false;
  }

  /** Answers a ping. */
  pong(payload: Uint8Array): void {
    if (this.#state === "open") this.#stream.write(controlFrame(Opcode.pong, payload));
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
    this.#stream.write(controlFrame(Opcode.close, payload));
    // So that the peer's answer and its end are seen.
    this.#stream.resume();
  }
}

/** A header of its own. */
function headerFor(opcode: number, length: number): Uint8Array {
  const header = Buffer.allocUnsafe(HEADER_BYTES_MAX);
  return header.subarray(0, writeHeader(header, opcode, length));
}

const controlFrame = (opcode: number, payload: Uint8Array): Uint8Array =>
  Buffer.from(scratch.subarray(0, writeFrame(opcode, payload)));

const codeBytes = (code: number): Uint8Array => Uint8Array.of(code >>> 8, code);
