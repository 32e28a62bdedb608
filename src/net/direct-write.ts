/**
 * Writing to the system right away. A stream's `write` makes a request, a state of its own and a tick of the event loop for each write, most of
 * the broker's own work per small message (see docs/performance-notes.md); nearly always the system takes all bytes at once and none of it is
 * needed. Neither a socket's handle nor what it takes is documented: where they are not there, nothing is written this way (decision 0017).
 *
 * Order: the caller has nothing waiting in the stream. What the system does not take waits in the handle, before whatever the stream writes later.
 */
import type { Socket } from "node:net";

/** What the system did not take at once is with it now, or never will be. */
export interface WriteListener {
  /** `bytes[0, end)` of the write are not needed any more. */
  onWritten(bytes: Uint8Array, end: number): void;
}

/** What became of a write. */
export const DirectWrite = { taken: 0, underWay: 1, unavailable: 2 } as const;
export type DirectWrite = (typeof DirectWrite)[keyof typeof DirectWrite];

/** Node's object for a write that goes on; what we keep on it comes with such a write. */
interface Request {
  oncomplete: (this: Request, status: number) => void;
  socket?: Socket;
  listener?: WriteListener;
  bytes?: Uint8Array;
  end?: number;
  /** The bytes that the system reads from. */
  view?: Uint8Array;
}

interface StreamBinding {
  readonly WriteWrap: new () => Request;
  readonly streamBaseState: Int32Array;
  readonly kLastWriteWasAsync: number;
}

interface Handle {
  writeBuffer?(request: Request, bytes: Uint8Array): number;
}

function loadBinding(): StreamBinding | undefined {
  const { binding } = process as unknown as { binding?: (name: string) => StreamBinding };
  try {
    const stream = binding?.("stream_wrap");
    const isWhole = typeof stream?.WriteWrap === "function" && stream.kLastWriteWasAsync >= 0;
    return isWhole && stream.streamBaseState !== undefined ? stream : undefined;
  } catch {
    return undefined;
  }
}

const binding = loadBinding();

/** Used by all writes until one of them goes on. */
let request: Request | undefined;

function newRequest({ WriteWrap }: StreamBinding): Request {
  const made = new WriteWrap();
  made.oncomplete = onComplete;
  return made;
}

function onComplete(this: Request, status: number): void {
  const { socket, listener, bytes, end } = this;
  if (status < 0) socket?.destroy();
  if (bytes !== undefined && end !== undefined) listener?.onWritten(bytes, end);
}

/** Buffers of this size, the smallest that output is gathered in, are copied: one copy is cheaper than a view of what is to be written. */
const COPIED_BYTES = 2_048;
/** Up to so many bytes; a view of each length is kept. */
const SMALL_BYTES_MAX = 1_024;

let copied = Buffer.allocUnsafeSlow(COPIED_BYTES);
let views: (Uint8Array | undefined)[] = new Array(SMALL_BYTES_MAX + 1).fill(undefined);

/** Hot path: per write. */
function viewOf(bytes: Uint8Array, end: number): Uint8Array {
  if (end > SMALL_BYTES_MAX || bytes.length !== COPIED_BYTES) return bytes.subarray(0, end);
  copied.set(bytes);
  let view = views[end];
  if (view === undefined) {
    view = copied.subarray(0, end);
    views[end] = view;
  }
  return view;
}

/**
 * Writes `bytes[0, end)` to a socket that is connected and has nothing waiting. Where it goes on (`underWay`) the bytes stay as they are until the
 * listener is called. A write that fails destroys the socket and counts as taken. Hot path: per socket and turn; allocates nothing for short writes.
 */
export function writeDirectly(
  socket: Socket,
  bytes: Uint8Array,
  end: number,
  listener: WriteListener,
): DirectWrite {
  const { _handle: handle } = socket as unknown as { readonly _handle?: Handle | null };
  if (binding === undefined || handle?.writeBuffer === undefined) return DirectWrite.unavailable;
  request ??= newRequest(binding);
  const view = viewOf(bytes, end);
  if (handle.writeBuffer(request, view) !== 0) {
    socket.destroy();
    return DirectWrite.taken;
  }
  if (binding.streamBaseState[binding.kLastWriteWasAsync] === 0) return DirectWrite.taken;
  goesOn(request, socket, bytes, end, listener, view);
  request = undefined;
  return DirectWrite.underWay;
}

function goesOn(
  made: Request,
  socket: Socket,
  bytes: Uint8Array,
  end: number,
  listener: WriteListener,
  view: Uint8Array,
): void {
  made.socket = socket;
  made.listener = listener;
  made.bytes = bytes;
  made.end = end;
  made.view = view;
  if (view.buffer !== copied.buffer) return;
  copied = Buffer.allocUnsafeSlow(COPIED_BYTES);
  views = new Array(SMALL_BYTES_MAX + 1).fill(undefined);
}
