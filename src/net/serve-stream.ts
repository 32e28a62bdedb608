import type { Socket } from "node:net";
import type { Link, Peer } from "../mqtt/link.ts";
import type { Subprotocol } from "../native/frame.ts";
import type { NativeLink } from "../native/link.ts";
import type { NetworkCounters } from "./network-counters.ts";
import type { OutputBudget } from "./output-budget.ts";
import { SocketLink } from "./socket-link.ts";
import type { Turn } from "./turn.ts";
import { StreamWire, type Wire } from "./wire.ts";

/** The protocol state of one network connection, whichever protocol it is. */
export interface Served {
  /** Undefined until it is known who the client is. */
  readonly session: unknown;
  /** Bytes, or one message of a WebSocket. */
  receive(chunk: Uint8Array): void;
  /** There is room in the output again. */
  onRoom(): void;
  /** The network connection is gone. */
  onClosed(): void;
}

/** What serving a connection needs, whatever it came over. */
export interface ServeOptions {
  readonly turn: Turn;
  readonly counters: NetworkCounters;
  /** Of all connections of all listeners. */
  readonly budget: OutputBudget;
  /** Write budget per connection, in bytes. */
  readonly outputBytesMax: number;
  /** With output over budget and no byte taken by the kernel for so long a connection is destroyed. */
  readonly writeTimeoutMs: number;
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
  const { turn, counters, outputBytesMax, writeTimeoutMs } = options;
  let connection: Served | undefined;
  const link = new SocketLink({
    socket,
    wire,
    peer,
    turn,
    counters,
    budget: options.budget,
    outputBytesMax,
    writeTimeoutMs,
    onRoom: () => connection?.onRoom(),
    onStalled: () => {
      counters.writesStalled++;
    },
  });
  connection = accept(link);
  if (connection !== undefined) return connection;
  counters.notAccepted++;
  socket.destroy();
  return undefined;
}

/** Hands received bytes to the protocol. Hot path: per chunk. */
export function receive(options: ServeOptions, connection: Served, chunk: Buffer): void {
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
 * Serves MQTT on a stream: TCP, TLS, unix socket.
 * @param socket the network connection itself, under `stream` or the same
 */
export function serveStream(
  options: ServeOptions,
  socket: Socket,
  stream: Socket,
  peer: Peer,
): Served | undefined {
  const connection = acceptOn(options, socket, new StreamWire(stream), peer);
  if (connection === undefined) return undefined;
  stream.on("data", (chunk: Buffer) => receive(options, connection, chunk));
  // What went wrong is told by "close"; a reset is nothing special.
  stream.on("error", () => undefined);
  stream.on("end", () => stream.end());
  stream.on("close", () => closed(options, connection));
  return connection;
}
