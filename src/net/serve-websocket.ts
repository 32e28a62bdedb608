import type { Socket } from "node:net";
import type { RawData, WebSocket } from "ws";
import type { Peer } from "../mqtt/link.ts";
import { SUBPROTOCOLS, type Subprotocol } from "../native/frame.ts";
import type { WriteListener } from "./direct-write.ts";
import { acceptOn, closed, receive, type Served, type ServeOptions } from "./serve-stream.ts";
import type { Wire } from "./wire.ts";

/** Close codes of WebSocket [RFC 6455 section 7.4.1]. */
const CLOSE = { normal: 1_000, unsupportedData: 1_003, tooBig: 1_009 } as const;
/** Headers of frames and control frames beside a CONNECT of the largest size. */
const OVERHEAD_BYTES = 16_384;
/** How long a peer that broke the rules may take to answer the closing before its socket is destroyed. */
const CLOSE_MS = 2_000;

/**
 * Up to so many bytes go out as one piece, header and all: a copy is cheaper than what a library does around two pieces. The library itself
 * has nothing waiting that could come between: nothing is compressed.
 */
const COPIED_BYTES_MAX = 16_384;
/** FIN, and the opcode [RFC 6455 section 5.2]. */
const TEXT_FRAME = 0x81;
const BINARY_FRAME = 0x82;
/** From this length on the header has it in two bytes more. */
const LONG_BYTES = 126;

/** A whole message of at most 65,535 bytes as a frame; a server does not mask. Hot path: per message of a WebSocket. */
function frameOf(content: Uint8Array, isBinary: boolean): Uint8Array {
  const { length } = content;
  const start = length < LONG_BYTES ? 2 : 4;
  const frame = Buffer.allocUnsafe(start + length);
  frame[0] = isBinary ? BINARY_FRAME : TEXT_FRAME;
  if (length < LONG_BYTES) frame[1] = length;
  else {
    frame[1] = LONG_BYTES;
    frame[2] = length >>> 8;
    frame[3] = length;
  }
  frame.set(content, start);
  return frame;
}

/** What was gathered during a turn is one message: binary, but for frames in JSON. */
class WebSocketWire implements Wire {
  readonly #webSocket: WebSocket;
  readonly #stream: Socket;
  readonly #isBinary: boolean;

  constructor(webSocket: WebSocket, stream: Socket, isBinary: boolean) {
    this.#webSocket = webSocket;
    this.#stream = stream;
    this.#isBinary = isBinary;
  }

  get queuedBytes(): number {
    return this.#stream.writableLength;
  }

  get isGone(): boolean {
    return this.#stream.destroyed;
  }

  write(bytes: Uint8Array, end: number, listener: WriteListener): boolean {
    const webSocket = this.#webSocket;
    const content = bytes.subarray(0, end);
    const onWritten = (): void => listener.onWritten(bytes, end);
    if (end > COPIED_BYTES_MAX || webSocket.readyState !== webSocket.OPEN) {
      webSocket.send(content, { binary: this.#isBinary, compress: false }, onWritten);
    } else this.#stream.write(frameOf(content, this.#isBinary), onWritten);
    return false;
  }

  setPaused(isPaused: boolean): void {
    if (isPaused) this.#webSocket.pause();
    else this.#webSocket.resume();
  }

  end(): void {
    this.#webSocket.resume();
    this.#webSocket.close(CLOSE.normal);
  }
}

/** Undefined: MQTT. */
const nativeSubprotocol = (name: string): Subprotocol | undefined =>
  SUBPROTOCOLS.find((subprotocol) => subprotocol === name);

/**
 * Serves MQTT or the native protocol on a WebSocket, whichever its subprotocol is.
 * @param socket the network connection itself
 * @param stream what the WebSocket runs on: `socket`, or TLS on it
 */
export function serveWebSocket(
  options: ServeOptions,
  socket: Socket,
  stream: Socket,
  webSocket: WebSocket,
  peer: Peer,
): Served | undefined {
  const subprotocol = nativeSubprotocol(webSocket.protocol);
  const isBinary = subprotocol !== "rill.v1+json";
  const wire = new WebSocketWire(webSocket, stream, isBinary);
  const connection =
    subprotocol === undefined
      ? acceptOn(options, socket, wire, peer)
      : acceptOn(options, socket, wire, peer, (link) => options.acceptNative(link, subprotocol));
  if (connection === undefined) return undefined;
  const refuse = (code: number): void => {
    options.counters.badFrames++;
    webSocket.close(code);
    setTimeout(() => socket.destroy(), CLOSE_MS).unref();
    connection.onClosed();
    options.turn.schedule();
  };
  boundConnect(options, stream, connection, () => refuse(CLOSE.tooBig));
  webSocket.on("message", (data: RawData, isDataBinary: boolean) => {
    if (webSocket.readyState !== webSocket.OPEN) return;
    // [MQTT-6.0.0-1]
    if (isDataBinary !== isBinary) refuse(CLOSE.unsupportedData);
    else receive(options, connection, data as Buffer);
  });
  webSocket.on("ping", (data) => {
    if (stream.writableLength < options.outputBytesMax) webSocket.pong(data);
  });
  // A frame that is none, or too large: ws closes with the right code.
  webSocket.on("error", () => {
    options.counters.badFrames++;
  });
  webSocket.on("close", () => closed(options, connection));
  return connection;
}

/** A frame is gathered before anybody sees it: until CONNECT is accepted not more than one CONNECT needs. */
function boundConnect(
  options: ServeOptions,
  stream: Socket,
  connection: Served,
  onTooMuch: () => void,
): void {
  let left = options.connectPacketBytesMax + OVERHEAD_BYTES;
  const count = (chunk: Buffer): void => {
    left -= chunk.length;
    if (connection.session === undefined && left >= 0) return;
    stream.off("data", count);
    if (connection.session === undefined) onTooMuch();
  };
  stream.on("data", count);
}
