/**
 * Sockets that read into one buffer for all of them. Node's own reading makes a buffer of 64 KiB for each read and a stream's chunk of what
 * came: a third of the broker's own work per small message (see docs/performance-notes.md). `onread` is how Node offers to do without,
 * to who makes the socket; a server's sockets are made by the server, unless its handle tells somebody else of a connection. Where that cannot be
 * had (`_handle` is not documented) sockets are served as they are (decision 0017).
 */
import { type Server, Socket } from "node:net";

/** As much as libuv reads at a time. */
const READ_BYTES = 65_536;

const bytes = Buffer.allocUnsafeSlow(READ_BYTES);

/** Of reads up to so many bytes a view of each length is kept: a message of a device makes none. */
const SMALL_BYTES_MAX = 1_024;
const views: (Buffer | undefined)[] = new Array(SMALL_BYTES_MAX + 1).fill(undefined);

/** On a socket that reads into the shared buffer: who gets what comes. */
const RECEIVE = Symbol("receive");

type Receive = (this: Socket, chunk: Buffer) => void;

interface SharedSocket extends Socket {
  [RECEIVE]?: Receive | undefined;
}

/** What a server's handle is told of a connection: 0, or a number of the system's for what went wrong. */
type OnConnection = (this: unknown, status: number, handle: ConnectionHandle | undefined) => void;

interface ConnectionHandle {
  setNoDelay?(isOn: boolean): void;
  setKeepAlive?(isOn: boolean, seconds: number): void;
}

/**
 * A server that listens makes its connections as sockets that read into the shared buffer, without delay and with keep alive, and tells
 * `onSocket` of them; it does not emit them. False where that cannot be had: it goes on as it is. To make another socket around the handle of one
 * that was emitted would be 1.5 KB of garbage, and a tenth of the time that a connection takes.
 */
export function acceptShared(
  server: Server,
  keepAliveSeconds: number,
  onSocket: (socket: Socket) => void,
): boolean {
  const { _handle: handle } = server as unknown as {
    readonly _handle?: { onconnection?: OnConnection } | null;
  };
  const own = handle?.onconnection;
  if (handle === undefined || handle === null || typeof own !== "function") return false;
  handle.onconnection = function onConnection(status, accepted): void {
    if (status !== 0 || accepted === undefined) {
      own.call(this, status, accepted);
      return;
    }
    accepted.setNoDelay?.(true);
    accepted.setKeepAlive?.(true, keepAliveSeconds);
    onSocket(socketAround(accepted));
  };
  return true;
}

const ONREAD = { buffer: bytes, callback: onRead };

function socketAround(handle: object): Socket {
  const socket: SharedSocket = new Socket({ handle, onread: ONREAD } as object);
  socket[RECEIVE] = undefined;
  return socket;
}

/**
 * What comes on the socket goes to `receive`, which is called with the socket as `this`; a chunk is valid during the call only. A function for all
 * sockets costs nothing per socket.
 */
export function onChunk(socket: Socket, receive: Receive): void {
  if (RECEIVE in socket) socket[RECEIVE] = receive;
  else socket.on("data", receive);
}

/** Hot path: per read. */
function onRead(this: unknown, count: number): boolean {
  const socket = this as SharedSocket;
  socket[RECEIVE]?.(viewOf(count));
  return true;
}

/** Hot path: per read. */
function viewOf(count: number): Buffer {
  if (count > SMALL_BYTES_MAX) return bytes.subarray(0, count);
  let view = views[count];
  if (view === undefined) {
    view = bytes.subarray(0, count);
    views[count] = view;
  }
  return view;
}
