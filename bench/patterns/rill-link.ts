import { randomBytes } from "node:crypto";
import { codecOf } from "../../src/native/frame-codec.ts";
import { MessagePackScan, wordFor } from "./message-pack-scan.ts";
import { RawConnection } from "./raw-connection.ts";

/** Four times the same byte: frames can be masked before it is known where in a message they will stand. */
const MASK = 0x5a;
const MASK_KEY = Buffer.alloc(4, MASK);
const BINARY = 0x82;
const codec = codecOf("rill.v1+msgpack");
const OP = wordFor("op");
const OK = wordFor("ok");
const ERROR = wordFor("error");
const SUB = wordFor("sub");
const DELIVERIES = wordFor("deliveries");
const DELIVERY = wordFor("delivery");
const RECORDS = wordFor("records");
const REQUEST = wordFor("request");

type Fields = Readonly<Record<string, unknown>>;

/** What a load wants to know of what comes. */
export interface RillEvents {
  onOk(): void;
  /** Deliveries of one frame. */
  onDeliveries(sub: number, deliveries: readonly number[]): void;
  onRecords(sub: number, count: number): void;
  onRequest(request: number): void;
}

export const NO_EVENTS: RillEvents = {
  onOk: () => undefined,
  onDeliveries: () => undefined,
  onRecords: () => undefined,
  onRequest: () => undefined,
};

/** A frame, encoded and masked. */
export function maskedFrame(frame: Fields): Buffer {
  const bytes = Buffer.from(codec.encode(frame));
  for (let i = 0; i < bytes.length; i++) bytes[i] = (bytes[i] ?? 0) ^ MASK;
  return bytes;
}

/** The native protocol without a library: frames that are encoded before, answers that are only counted. */
export class RillLink {
  readonly #connection: RawConnection;
  readonly #scan = new MessagePackScan();
  events = NO_EVENTS;
  #frames: Buffer[] = [];
  #deliveries: number[] = [];
  #isOpen = false;
  #onOpen: () => void = () => undefined;
  #onError: ((error: Error) => void) | undefined;

  private constructor(connection: RawConnection) {
    this.#connection = connection;
    connection.take = (bytes, end) => this.#take(bytes, end);
  }

  static async open(port: number): Promise<RillLink> {
    const link = new RillLink(await RawConnection.open(port));
    const opened = new Promise<void>((resolve) => {
      link.#onOpen = resolve;
    });
    const key = randomBytes(16).toString("base64");
    link.#connection.writeNow(
      Buffer.from(
        `GET /rill HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: rill.v1+msgpack\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
      ),
    );
    await opened;
    await link.call({ op: "hello", id: 0, versions: [1] });
    return link;
  }

  /** Sends a request and waits for the next answer. */
  call(frame: Fields): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#onOpen = resolve;
      this.#onError = reject;
      this.send(maskedFrame(frame));
    });
  }

  /** Goes out at the end of the turn, all of a turn as one message. Hot path: per message. */
  send(frame: Buffer): void {
    if (this.#frames.push(frame) === 1) setImmediate(() => this.#flush());
  }

  /** Goes out now. */
  sendNow(frame: Buffer): void {
    this.#frames.push(frame);
    this.#flush();
  }

  close(): void {
    this.#connection.close();
  }

  #flush(): void {
    const frames = this.#frames;
    this.#frames = [];
    let length = 5;
    for (const frame of frames) length += frame.length;
    const message = Buffer.allocUnsafe(19 + length);
    let at = writeHeader(message, length);
    message[at] = 0xdd;
    message.writeUInt32BE(frames.length, at + 1);
    for (let i = at; i < at + 5; i++) message[i] = (message[i] ?? 0) ^ MASK;
    at += 5;
    for (const frame of frames) {
      message.set(frame, at);
      at += frame.length;
    }
    this.#connection.writeNow(message.subarray(0, at));
  }

  #take(bytes: Buffer, end: number): number {
    let at = 0;
    if (!this.#isOpen) {
      const header = bytes.subarray(0, end).indexOf("\r\n\r\n");
      if (header < 0) return 0;
      if (!bytes.toString("latin1", 0, header).includes(" 101 ")) throw new Error("no WebSocket");
      this.#isOpen = true;
      this.#onOpen();
      at = header + 4;
    }
    for (;;) {
      const start = at + headerBytes(bytes, at);
      if (start > end) return at;
      const next = start + contentBytes(bytes, at);
      if (next > end) return at;
      if ((bytes[at] ?? 0) === BINARY) this.#message(bytes, start);
      at = next;
    }
  }

  #message(bytes: Buffer, at: number): void {
    const scan = this.#scan;
    scan.bytes = bytes;
    scan.at = at;
    for (let frames = scan.listSize(); frames > 0; frames--) this.#frame(scan);
  }

  /** Hot path: per frame. */
  #frame(scan: MessagePackScan): void {
    let op = 0;
    let request = 0;
    let sub = 0;
    let records = 0;
    const start = scan.at;
    for (let pairs = scan.mapSize(); pairs > 0; pairs--) {
      const field = scan.word();
      if (field === OP) op = scan.word();
      else if (field === SUB) sub = scan.number();
      else if (field === DELIVERIES) this.#scanDeliveries(scan);
      else if (field === RECORDS) records = skipList(scan);
      else if (field === REQUEST) request = scan.number();
      else scan.skip();
    }
    if (op === DELIVERIES) this.#delivered(sub);
    else if (op === RECORDS) this.events.onRecords(sub, records);
    else if (op === REQUEST) this.events.onRequest(request);
    else if (op === ERROR) this.#failed(codec.decode(scan.bytes.subarray(start, scan.at)));
    else if (this.#onError !== undefined) this.#answered();
    else if (op === OK) this.events.onOk();
  }

  #answered(): void {
    this.#onError = undefined;
    this.#onOpen();
  }

  #failed(frames: readonly unknown[]): void {
    const error = new Error(JSON.stringify(frames));
    if (this.#onError === undefined) throw error;
    this.#onError(error);
  }

  #scanDeliveries(scan: MessagePackScan): void {
    for (let count = scan.listSize(); count > 0; count--) {
      for (let pairs = scan.mapSize(); pairs > 0; pairs--) {
        if (scan.word() === DELIVERY) this.#deliveries.push(scan.number());
        else scan.skip();
      }
    }
  }

  #delivered(sub: number): void {
    const deliveries = this.#deliveries;
    this.#deliveries = [];
    this.events.onDeliveries(sub, deliveries);
  }
}

function headerBytes(bytes: Buffer, at: number): number {
  const short = (bytes[at + 1] ?? 0) & 0x7f;
  if (short < 126) return 2;
  return short === 126 ? 4 : 10;
}

function contentBytes(bytes: Buffer, at: number): number {
  const short = (bytes[at + 1] ?? 0) & 0x7f;
  if (short < 126) return short;
  return short === 126 ? bytes.readUInt16BE(at + 2) : bytes.readUIntBE(at + 4, 6);
}

function skipList(scan: MessagePackScan): number {
  const count = scan.listSize();
  for (let i = 0; i < count; i++) scan.skip();
  return count;
}

/** Writes the header of a masked binary message; returns where its content begins. */
function writeHeader(message: Buffer, length: number): number {
  message[0] = BINARY;
  let at = 2;
  if (length < 126) message[1] = 0x80 | length;
  else if (length < 65_536) {
    message[1] = 0x80 | 126;
    at = message.writeUInt16BE(length, 2);
  } else {
    message[1] = 0x80 | 127;
    message.writeUInt32BE(0, 2);
    at = message.writeUInt32BE(length, 6);
  }
  message.set(MASK_KEY, at);
  return at + 4;
}
