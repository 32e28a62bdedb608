import type { Socket } from "node:net";
import type { Peer } from "../mqtt/link.ts";
import { SUBPROTOCOLS, type Subprotocol } from "../native/frame.ts";
import { acceptOn, closed, receive, type Served, type ServeOptions } from "./serve-stream.ts";
import { onChunk } from "./shared-read.ts";
import { CloseCode, type WebSocketEvents, WebSocketInput } from "./websocket-input.ts";
import type { OpenedWebSocket } from "./websocket-stage.ts";
import { WebSocketWire } from "./websocket-wire.ts";

/** Headers of frames and control frames beside a CONNECT of the largest size. */
const OVERHEAD_BYTES = 16_384;
/** Beside the largest packet a message may have some more: packets come in one message, and messages cut packets, anywhere. */
const MESSAGE_EXTRA_BYTES = 65_536;

/** Undefined: MQTT. */
const nativeSubprotocol = (name: string): Subprotocol | undefined =>
  SUBPROTOCOLS.find((subprotocol) => subprotocol === name);

/** What is served, as far as the rest of it needs to know. */
interface Serving {
  readonly options: ServeOptions;
  readonly wire: WebSocketWire;
  readonly connection: Served;
  /** Messages are binary; else they are text. */
  readonly isBinary: boolean;
  /** The connection may keep messages: they are copied out of what was read. */
  readonly isKept: boolean;
}

/** What comes on one WebSocket. */
class ServedWebSocket implements WebSocketEvents {
  readonly #serving: Serving;
  readonly #input: WebSocketInput;
  /** How much may still come before the client is accepted: a message is gathered before anybody sees it. Undefined: it is accepted. */
  #earlyBytes: number | undefined;

  constructor(serving: Serving) {
    this.#serving = serving;
    const { packetBytesMax, connectPacketBytesMax } = serving.options;
    this.#input = new WebSocketInput(packetBytesMax + MESSAGE_EXTRA_BYTES, this);
    this.#earlyBytes = connectPacketBytesMax + OVERHEAD_BYTES;
  }

  /** Hot path: per read. */
  receive(chunk: Buffer): void {
    this.#input.receive(chunk);
    if (this.#earlyBytes !== undefined) this.#countEarly(this.#earlyBytes - chunk.length);
  }

  onClosed(): void {
    this.#input.stop();
    closed(this.#serving.options, this.#serving.connection);
  }

  /** Hot path: per message. */
  onMessage(message: Uint8Array, isText: boolean): void {
    const { options, wire, connection, isBinary, isKept } = this.#serving;
    // We close: what the client had sent before it knew is not heard.
    if (!wire.isOpen) return;
    // [MQTT-6.0.0-1]
    if (isText === isBinary) this.#refuse(CloseCode.unsupportedData);
    else receive(options, connection, isKept ? copyOf(message) : message);
  }

  onPing(payload: Uint8Array): void {
    const { options, wire } = this.#serving;
    // Pongs are output, too.
    if (wire.queuedBytes < options.outputBytesMax) wire.pong(payload);
  }

  onClose(payload: Uint8Array): void {
    this.#serving.wire.finish(payload);
  }

  onBroken(code: CloseCode): void {
    this.#refuse(code);
  }

  #countEarly(left: number): void {
    if (this.#serving.connection.session !== undefined) this.#earlyBytes = undefined;
    else if (left >= 0) this.#earlyBytes = left;
    else {
      this.#earlyBytes = undefined;
      if (this.#serving.wire.isOpen) this.#refuse(CloseCode.tooBig);
    }
  }

  /** The peer is wrong. */
  #refuse(code: CloseCode): void {
    const { options, wire, connection } = this.#serving;
    options.counters.badFrames++;
    this.#input.stop();
    wire.finish(code);
    connection.onClosed();
    options.turn.schedule();
  }
}

/** A copy that stays. Hot path: per message of a native client. */
function copyOf(message: Uint8Array): Uint8Array {
  const copy = Buffer.allocUnsafe(message.length);
  copy.set(message);
  return copy;
}

/** Where a stream keeps what its listeners need, so that they are the same for all. */
const SERVED = Symbol("served");

interface ServedSocket extends Socket {
  [SERVED]?: ServedWebSocket;
}

/** Hot path: per read. */
function onData(this: Socket, chunk: Buffer): void {
  (this as ServedSocket)[SERVED]?.receive(chunk);
}

function onClose(this: ServedSocket): void {
  this[SERVED]?.onClosed();
}

/**
 * Serves MQTT or the native protocol on a WebSocket, whichever its subprotocol is.
 * @param socket the network connection itself
 * @param stream what the WebSocket runs on: `socket`, or TLS on it
 */
export function serveWebSocket(
  options: ServeOptions,
  socket: Socket,
  stream: Socket,
  { protocol, head }: OpenedWebSocket,
  peer: Peer,
): Served | undefined {
  const subprotocol = nativeSubprotocol(protocol);
  const isBinary = subprotocol !== "rill.v1+json";
  const wire = new WebSocketWire(socket, stream, isBinary);
  const connection =
    subprotocol === undefined
      ? acceptOn(options, socket, wire, peer)
      : acceptOn(options, socket, wire, peer, (link) => options.acceptNative(link, subprotocol));
  if (connection === undefined) return undefined;
  const isKept = subprotocol !== undefined;
  const served = new ServedWebSocket({ options, wire, connection, isBinary, isKept });
  (stream as ServedSocket)[SERVED] = served;
  stream.on("close", onClose);
  // Before anything that is read later.
  if (head.length > 0) served.receive(head);
  onChunk(stream, onData);
  return connection;
}
