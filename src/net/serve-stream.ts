import type { Socket } from "node:net";
import type { Link, Peer } from "../mqtt/link.ts";
import type { Subprotocol } from "../native/frame.ts";
import type { NativeLink } from "../native/link.ts";
import { onChunk } from "./shared-read.ts";
import { SocketLink, type SocketLinkOptions } from "./socket-link.ts";
import { StreamWire, type Wire } from "./wire.ts";

/** The protocol state of one network connection, whichever protocol it is. */
export interface Served {
  /** Undefined until it is known who the client is. */
  readonly session: unknown;
  /** Bytes, or one message of a WebSocket; valid during the call only. */
  receive(chunk: Uint8Array): void;
  /** There is room in the output again. */
  onRoom(): void;
  /** The network connection is gone. */
  onClosed(): void;
}

/** What serving a connection needs, whatever it came over. */
export interface ServeOptions extends SocketLinkOptions {
  /** Largest packet taken, in bytes. */
  readonly packetBytesMax: number;
  /** Largest packet taken before CONNECT was accepted, in bytes. */
  readonly connectPacketBytesMax: number;
  /** A new protocol state for a new network connection; undefined: it is refused (too many, or not ready). */
  readonly accept: (link: Link) => Served | undefined;
  /** The same for one that speaks the native protocol. */
  readonly acceptNative: (link: NativeLink, subprotocol: Subprotocol) => Served | undefined;
  /** A connection that one of them made is gone. */
  readonly onClosed: (connection: Served) => void;
  /** Something in the protocol's own code broke: a bug. */
  readonly onBug: (error: unknown) => void;
}

/** The protocol state on this wire; undefined, and the socket destroyed, when it is refused. */
export function acceptOn(
  options: ServeOptions,
  socket: Socket,
  wire: Wire,
  peer: Peer,
  accept: (link: SocketLink) => Served | undefined = options.accept,
): Served | undefined {
  const link = new SocketLink(options, socket, wire, peer);
  const connection = accept(link);
  if (connection !== undefined) {
    link.writer = connection;
    return connection;
  }
  options.counters.notAccepted++;
  socket.destroy();
  return undefined;
}

/** Hands received bytes to the protocol. Hot path: per chunk. */
export function receive(options: ServeOptions, connection: Served, chunk: Uint8Array): void {
  options.counters.bytesReceived += chunk.length;
  try {
    connection.receive(chunk);
  } catch (error) {
    options.onBug(error);
  }
  options.turn.schedule();
}

/** The connection is gone, from whichever side. */
export function closed(options: ServeOptions, connection: Served): void {
  connection.onClosed();
  options.onClosed(connection);
  options.turn.schedule();
}

/**
 * Serves MQTT on a stream: TCP, TLS, unix socket. Its errors are listened to already; when the peer has ended it, Node ends it, too
 * (`allowHalfOpen` is off).
 * @param socket the network connection itself, under `stream` or the same
 */
export function serveStream(
  options: ServeOptions,
  socket: Socket,
  stream: Socket,
  peer: Peer,
): Served | undefined {
  const connection = acceptOn(options, socket, new StreamWire(stream, stream === socket), peer);
  if (connection === undefined) return undefined;
  (stream as ServedSocket)[SERVED] = { options, connection };
  onChunk(stream, onData);
  stream.on("close", onClose);
  return connection;
}

/** What the listeners of a stream find on it, so that they are the same for all: ten thousand idle connections have none of their own. */
const SERVED = Symbol("served");

interface ServedSocket extends Socket {
  [SERVED]?: { readonly options: ServeOptions; readonly connection: Served };
}

/** Hot path: per chunk. */
function onData(this: Socket, chunk: Buffer): void {
  const served = (this as ServedSocket)[SERVED];
  if (served !== undefined) receive(served.options, served.connection, chunk);
}

function onClose(this: ServedSocket): void {
  const served = this[SERVED];
  if (served !== undefined) closed(served.options, served.connection);
}
