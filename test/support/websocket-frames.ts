/** Frames of WebSocket byte by byte, as a client sends them or as it never should, and what an input tells about them. */
import {
  type CloseCode,
  type WebSocketEvents,
  WebSocketInput,
} from "../../src/net/websocket-input.ts";

export interface ClientFrame {
  readonly opcode: number;
  readonly payload?: Uint8Array;
  /** The last of its message; true unless said. */
  readonly isLast?: boolean;
  readonly reserved?: number;
  /** Undefined: not masked. */
  readonly mask?: readonly number[] | undefined;
  /** In how many bytes the length is written at least; 1, 2 or 8. */
  readonly lengthBytes?: 1 | 2 | 8;
}

const MASK = [0x37, 0xfa, 0x21, 0x3d];

function lengthOf(length: number, bytes: number): Buffer {
  if (bytes === 1 && length < 126) return Buffer.of(length);
  const header = Buffer.alloc(bytes < 8 && length < 65_536 ? 3 : 9);
  header[0] = header.length === 3 ? 126 : 127;
  if (header.length === 3) header.writeUInt16BE(length, 1);
  else header.writeBigUInt64BE(BigInt(length), 1);
  return header;
}

/** One frame, masked like that of a client unless said otherwise. */
export function clientFrame(frame: ClientFrame): Buffer {
  const {
    opcode,
    payload = new Uint8Array(0),
    isLast = true,
    reserved = 0,
    lengthBytes = 1,
  } = frame;
  const mask = "mask" in frame ? frame.mask : MASK;
  const length = lengthOf(payload.length, lengthBytes);
  if (mask !== undefined) length[0] = (length[0] ?? 0) | 0x80;
  const head = Buffer.of((isLast ? 0x80 : 0) | (reserved << 4) | opcode);
  const content = payload.map((byte, i) => byte ^ (mask?.[i % 4] ?? 0));
  return Buffer.concat([head, length, Buffer.from(mask ?? []), content]);
}

/** A text as the payload of a frame. */
export const textOf = (text: string): Buffer => Buffer.from(text, "utf8");

/** A close frame's payload. */
export const closePayload = (code: number, reason: Uint8Array = Buffer.alloc(0)): Buffer =>
  Buffer.concat([Buffer.of(code >>> 8, code & 0xff), reason]);

/** What an input told, as text: `text 48656c6c6f`, `binary `, `ping `, `close 03e8`, `broken 1002`. */
export class NotedEvents implements WebSocketEvents {
  readonly notes: string[] = [];

  onMessage(message: Uint8Array, isText: boolean): void {
    this.#note(isText ? "text" : "binary", message);
  }

  onPing(payload: Uint8Array): void {
    this.#note("ping", payload);
  }

  onClose(payload: Uint8Array): void {
    this.#note("close", payload);
  }

  onBroken(code: CloseCode): void {
    this.notes.push(`broken ${code}`);
  }

  #note(what: string, bytes: Uint8Array): void {
    this.notes.push(`${what} ${Buffer.from(bytes).toString("hex")}`);
  }
}

/** What is told of these reads, each of which is in memory of its own. */
export function notesOf(reads: readonly Uint8Array[], messageBytesMax = 1_000_000): string[] {
  const events = new NotedEvents();
  const input = new WebSocketInput(messageBytesMax, events);
  for (const read of reads) input.receive(Buffer.from(read));
  return events.notes;
}
