/**
 * The receiving end of a server's WebSocket, sans-IO [RFC 6455 section 5]: bytes in, messages and control frames out. No extension is ever
 * agreed upon, so the reserved bits are 0.
 *
 *      0                   1                   2                   3
 *      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *     +-+-+-+-+-------+-+-------------+-------------------------------+
 *     |F|R|R|R| opcode|M| length (7)  | length (16, when 126;         |
 *     |I|S|S|S|  (4)  |A|             | 64, when 127)                 |
 *     |N|V|V|V|       |S|             |                               |
 *     | |1|2|3|       |K|             | masking key (32)              |
 *     +-+-+-+-+-------+-+-------------+-------------------------------+
 *
 *     a frame begins --data frame, whole or cut--> its payload is unmasked where it lies --FIN--> message
 *                   `--control frame------------> is told at once, also between the frames of a message
 *                   `--close, or broken---------> ended: what comes later is ignored
 *
 * A message that lies whole in what was read is told as a view of it; only one in several frames or reads is gathered, in memory that
 * grows with what has come and not with what was announced. A header or a control frame that is cut is kept as it is until more comes.
 */
import { isUtf8 } from "node:buffer";
import { unmask } from "./websocket-mask.ts";

/** Close codes [RFC 6455 section 7.4.1]. */
export const CloseCode = {
  normal: 1_000,
  protocolError: 1_002,
  unsupportedData: 1_003,
  invalidPayload: 1_007,
  tooBig: 1_009,
} as const;
export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];

/** Opcodes [RFC 6455 section 5.2]. */
export const Opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Who is told what comes. Bytes are valid during the call only. None of them may call `receive`. */
export interface WebSocketEvents {
  /** A whole message. That text is UTF-8 is for its reader to check, who needs it as characters anyway. */
  onMessage(message: Uint8Array, isText: boolean): void;
  onPing(payload: Uint8Array): void;
  /** The peer closes; `payload` is its code and reason, checked, or empty. Nothing is told after it. */
  onClose(payload: Uint8Array): void;
  /** The peer broke the rules: the connection is to be closed with this code. Nothing is told after it. */
  onBroken(code: CloseCode): void;
}

const FIN = 0x80;
const MASKED = 0x80;
/** Reserved bits. */
const RESERVED = 0x70;
const CONTROL = 0x08;
const CONTROL_BYTES_MAX = 125;
const UINT32 = 0x1_0000_0000;
/** Memory for a message that is gathered begins with so much. */
const GATHERED_BYTES = 4_096;
/** Returned for a frame that is not there as far as it is needed. */
const INCOMPLETE = -1;

/** What a peer may give as its reason to close [RFC 6455 section 7.4]. */
function isCloseCode(code: number): boolean {
  if (code >= 3_000) return code < 5_000;
  return code >= 1_000 && code <= 1_014 && (code < 1_004 || code > 1_006);
}

export class WebSocketInput {
  readonly #messageBytesMax: number;
  readonly #events: WebSocketEvents;
  /** The beginning of a header or of a control frame. */
  #cut: Uint8Array | undefined;
  /** Opcode of the message under way; 0: none is. */
  #kind = 0;
  /** Bytes of its frames, as they were announced. */
  #messageBytes = 0;
  /** What has come of it, unmasked, unless it comes at once. */
  #gathered: Uint8Array | undefined;
  #gatheredBytes = 0;
  /** Of the data frame under way: is it the last one, how much is still to come, and how is that masked? */
  #isLast = false;
  #left = 0;
  #mask = 0;
  #phase = 0;
  #hasEnded = false;

  /** @param messageBytesMax largest message, all its frames together; a larger one is refused when its header announces it */
  constructor(messageBytesMax: number, events: WebSocketEvents) {
    this.#messageBytesMax = messageBytesMax;
    this.#events = events;
  }

  /** Tells nothing any more. */
  stop(): void {
    this.#hasEnded = true;
    this.#cut = undefined;
    this.#gathered = undefined;
  }

  /** Takes what was read, and changes it: payloads are unmasked in place. Hot path: per read. */
  receive(bytes: Buffer): void {
    const cut = this.#cut;
    this.#cut = undefined;
    const chunk = cut === undefined ? bytes : Buffer.concat([cut, bytes]);
    let at = 0;
    while (at < chunk.length && !this.#hasEnded) {
      const next = this.#left > 0 ? this.#takePayload(chunk, at) : this.#takeFrame(chunk, at);
      if (next === INCOMPLETE) {
        this.#cut = new Uint8Array(chunk.subarray(at));
        return;
      }
      at = next;
    }
  }

  /** Where what follows begins. Hot path: per frame. */
  #takeFrame(chunk: Buffer, at: number): number {
    if (chunk.length - at < 2) return INCOMPLETE;
    const head = chunk[at] ?? 0;
    const second = chunk[at + 1] ?? 0;
    const opcode = head & 0x0f;
    if (!this.#mayCome(head, second)) return this.#break(CloseCode.protocolError);
    let length = second & 0x7f;
    let start = at + 6;
    if (length > CONTROL_BYTES_MAX) {
      start += length === 126 ? 2 : 8;
      if (chunk.length < start - 4) return INCOMPLETE;
      length = longLength(chunk, at + 2, length === 126);
      if (length < 0) return this.#break(CloseCode.protocolError);
    }
    if (opcode < CONTROL && this.#messageBytes + length > this.#messageBytesMax)
      return this.#break(CloseCode.tooBig);
    if (chunk.length < start || (opcode >= CONTROL && chunk.length < start + length))
      return INCOMPLETE;
    this.#mask = chunk.readInt32BE(start - 4);
    if (opcode >= CONTROL) return this.#takeControl(chunk, opcode, start, start + length);
    if (opcode !== Opcode.continuation) this.#kind = opcode;
    this.#messageBytes += length;
    this.#isLast = head >= FIN;
    this.#left = length;
    this.#phase = 0;
    return this.#takePayload(chunk, start);
  }

  /** Whether a frame may begin like this here. */
  #mayCome(head: number, second: number): boolean {
    // A client masks every frame [RFC 6455 section 5.1].
    if ((head & RESERVED) !== 0 || second < MASKED) return false;
    const opcode = head & 0x0f;
    if (opcode < CONTROL)
      return opcode <= Opcode.binary && (opcode === Opcode.continuation) === (this.#kind !== 0);
    // Control frames are short and in one piece [RFC 6455 section 5.5].
    return opcode <= Opcode.pong && head >= FIN && (second & 0x7f) <= CONTROL_BYTES_MAX;
  }

  /** What is there of the payload of a data frame. Hot path: per frame. */
  #takePayload(chunk: Buffer, start: number): number {
    const end = Math.min(chunk.length, start + this.#left);
    unmask(chunk, start, end, this.#mask, this.#phase);
    const taken = end - start;
    this.#left -= taken;
    const isWhole = this.#left === 0 && this.#isLast;
    if (isWhole && this.#gatheredBytes === 0) this.#tell(chunk.subarray(start, end));
    else {
      this.#phase = (this.#phase + taken) & 3;
      const gathered = this.#gather(chunk.subarray(start, end));
      if (isWhole) this.#tell(gathered.subarray(0, this.#gatheredBytes));
    }
    return end;
  }

  #gather(part: Uint8Array): Uint8Array {
    const needed = this.#gatheredBytes + part.length;
    let gathered = this.#gathered;
    if (gathered === undefined || gathered.length < needed) {
      // Twice as much with every step, so that bytes are copied a few times at most, but not more than may come.
      const bytesMax = this.#isLast ? this.#messageBytes : this.#messageBytesMax;
      const larger = Buffer.allocUnsafe(Math.min(bytesMax, Math.max(2 * needed, GATHERED_BYTES)));
      if (gathered !== undefined) larger.set(gathered.subarray(0, this.#gatheredBytes));
      gathered = larger;
      this.#gathered = larger;
    }
    gathered.set(part, this.#gatheredBytes);
    this.#gatheredBytes = needed;
    return gathered;
  }

  #tell(message: Uint8Array): void {
    const isText = this.#kind === Opcode.text;
    this.#kind = 0;
    this.#messageBytes = 0;
    this.#gathered = undefined;
    this.#gatheredBytes = 0;
    this.#events.onMessage(message, isText);
  }

  #takeControl(chunk: Buffer, opcode: number, start: number, end: number): number {
    unmask(chunk, start, end, this.#mask, 0);
    const payload = chunk.subarray(start, end);
    if (opcode === Opcode.ping) this.#events.onPing(payload);
    else if (opcode === Opcode.close) this.#takeClose(payload);
    return end;
  }

  #takeClose(payload: Buffer): void {
    if (payload.length > 0 && (payload.length < 2 || !isCloseCode(payload.readUInt16BE(0)))) {
      this.#break(CloseCode.protocolError);
    } else if (!isUtf8(payload.subarray(2))) {
      this.#break(CloseCode.invalidPayload);
    } else {
      this.stop();
      this.#events.onClose(payload);
    }
  }

  #break(code: CloseCode): number {
    this.stop();
    this.#events.onBroken(code);
    return 0;
  }
}

/** A length of 16 or 64 bits; -1: not in as few bytes as it fits in, or above 63 bits [RFC 6455 section 5.2]. */
function longLength(chunk: Buffer, at: number, isShort: boolean): number {
  if (isShort) {
    const length = chunk.readUInt16BE(at);
    return length > CONTROL_BYTES_MAX ? length : -1;
  }
  const high = chunk.readUInt32BE(at);
  const length = high * UINT32 + chunk.readUInt32BE(at + 4);
  return high < UINT32 / 2 && length > 0xffff ? length : -1;
}
