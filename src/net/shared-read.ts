/**
 * Sockets that read into one buffer for all of them. Node's own reading makes a buffer of 64 KiB for each read and a stream's chunk of what
 * came: a third of the broker's own work per small message (see docs/performance-notes.md). `onread` is how Node offers to do without,
 * to who makes the socket; a server's sockets are made by the server. So what `onread` would have set is set on them: fields and a method that
 * are not documented. Where one of them is missing sockets read as usual.
 */
import { Socket } from "node:net";

/** As much as libuv reads at a time. */
const READ_BYTES = 65_536;

const bytes = Buffer.allocUnsafeSlow(READ_BYTES);

type Receive = (this: Socket, chunk: Buffer) => void;

/** Where Node's sockets have the buffer that they read into, and whom they tell; undefined: this Node has them elsewhere. */
const FIELDS = fieldsOf(new Socket());

/** On a socket that reads into the shared buffer: who gets what comes. */
const RECEIVE = Symbol("receive");

interface SharedSocket extends Socket {
  readonly _handle?: { readonly useUserBuffer?: unknown } | null;
  [RECEIVE]?: Receive;
}

/** Both are null on a socket that was not made with `onread`. */
function fieldsOf(
  socket: Socket,
): { readonly buffer: symbol; readonly callback: symbol } | undefined {
  const own = Object.getOwnPropertySymbols(socket);
  const named = (name: string): symbol | undefined =>
    own.find((key) => key.description === name && Reflect.get(socket, key) === null);
  const buffer = named("kBuffer");
  const callback = named("kBufferCb");
  return buffer === undefined || callback === undefined ? undefined : { buffer, callback };
}

/**
 * The socket reads into the shared buffer from now on, where that can be had. Call it at once when it was accepted, before anybody listens
 * to what it reads; from then on only `onChunk` tells what comes.
 */
export function readShared(socket: Socket): void {
  const { _handle: handle } = socket as SharedSocket;
  if (FIELDS === undefined || typeof handle?.useUserBuffer !== "function") return;
  handle.useUserBuffer(bytes);
  Reflect.set(socket, FIELDS.buffer, bytes);
  Reflect.set(socket, FIELDS.callback, onRead);
}

/**
 * What comes on the socket goes to `receive`, which is called with the socket as `this`; a chunk is valid during the call only. A function for all
 * sockets costs nothing per socket.
 */
export function onChunk(socket: Socket, receive: Receive): void {
  const isShared = FIELDS !== undefined && Reflect.get(socket, FIELDS.callback) === onRead;
  if (isShared) (socket as SharedSocket)[RECEIVE] = receive;
  else socket.on("data", receive);
}

/** Hot path: per read. */
function onRead(this: unknown, count: number): boolean {
  const socket = this as SharedSocket;
  socket[RECEIVE]?.(bytes.subarray(0, count));
  return true;
}
