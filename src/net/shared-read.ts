/**
 * Sockets that read into one buffer for all of them. Node's own reading makes a buffer of 64 KiB for each read and a stream's chunk of what
 * came: a third of the broker's own work per small message (see docs/performance-notes.md). `onread` is how Node offers to do without,
 * to who makes the socket; a server's sockets are made by the server, so each is made anew around its handle. Where there is no
 * handle to be had (`_handle` is not documented) sockets are served as they are.
 */
import { Socket } from "node:net";

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

interface WithHandle {
  _handle?: object | null;
}

/** The same connection, reading into the shared buffer where that can be had. Call it at once when the socket was accepted; use only what it returns. */
export function readShared(accepted: Socket): Socket {
  const owner = accepted as unknown as WithHandle;
  const { _handle: handle } = owner;
  if (handle === undefined || handle === null) return accepted;
  owner._handle = null;
  const options = { handle, onread: { buffer: bytes, callback: onRead } };
  const socket: SharedSocket = new Socket(options as object);
  socket[RECEIVE] = undefined;
  accepted.destroy();
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
