import { RawConnection } from "./raw-connection.ts";

const SPACE = 0x20;
const CR = 0x0d;
const [LETTER_M, LETTER_H, LETTER_P, LETTER_MINUS] = [0x4d, 0x48, 0x50, 0x2d] as const;
/** Of `MSG` and of `HMSG`, up to the subject. */
const MSG_BYTES = 4;
const HMSG_BYTES = 5;
const PONG = Buffer.from("PONG\r\n");

/** What a load wants to know of a message: by which subscription, and where an answer goes (bytes in `at`). */
export type OnNatsMessage = (sid: number, reply: Buffer | undefined, bytes: number) => void;

/** The NATS protocol without a library: what is sent was encoded before, what comes is only counted. */
export class NatsLink {
  readonly #connection: RawConnection;
  onMessage: OnNatsMessage = () => undefined;

  private constructor(connection: RawConnection) {
    this.#connection = connection;
    connection.take = (bytes, end) => this.#take(bytes, end);
  }

  static async open(port: number): Promise<NatsLink> {
    const link = new NatsLink(await RawConnection.open(port));
    const settings = { verbose: false, pedantic: false, headers: true, no_responders: true };
    link.sendNow(Buffer.from(`CONNECT ${JSON.stringify(settings)}\r\n`));
    return link;
  }

  /** Goes out at the end of the turn. Hot path: per message. */
  send(bytes: Buffer): void {
    this.#connection.write(bytes);
  }

  sendNow(bytes: Buffer): void {
    this.#connection.writeNow(bytes);
  }

  close(): void {
    this.#connection.close();
  }

  /** Hot path: per message. */
  #take(bytes: Buffer, end: number): number {
    let at = 0;
    for (;;) {
      const line = bytes.indexOf(CR, at);
      if (line < 0 || line + 2 > end) return at;
      const first = bytes[at];
      if (first === LETTER_M || first === LETTER_H) {
        const size = lastNumber(bytes, line);
        const next = line + 2 + size + 2;
        if (next > end) return at;
        this.#message(bytes, at, line, size);
        at = next;
        continue;
      }
      if (first === LETTER_P && bytes[at + 1] === 0x49) this.sendNow(PONG);
      else if (first === LETTER_MINUS) throw new Error(bytes.toString("latin1", at, line));
      at = line + 2;
    }
  }

  /** `MSG subject sid [reply] size`, or `HMSG subject sid [reply] headers size`. */
  #message(bytes: Buffer, start: number, line: number, size: number): void {
    const hasHeaders = bytes[start] === LETTER_H;
    const subjectEnd = bytes.indexOf(SPACE, start + (hasHeaders ? HMSG_BYTES : MSG_BYTES));
    const sidEnd = bytes.indexOf(SPACE, subjectEnd + 1);
    const sid = numberIn(bytes, subjectEnd + 1, sidEnd);
    const third = bytes.indexOf(SPACE, sidEnd + 1);
    const hasReply = third > 0 && third < line && !(hasHeaders && isDigit(bytes[sidEnd + 1]));
    this.onMessage(sid, hasReply ? bytes.subarray(sidEnd + 1, third) : undefined, size);
  }
}

const isDigit = (byte: number | undefined): boolean =>
  byte !== undefined && byte >= 0x30 && byte <= 0x39;

function numberIn(bytes: Buffer, start: number, end: number): number {
  let value = 0;
  for (let i = start; i < end; i++) value = value * 10 + (bytes[i] ?? 0) - 0x30;
  return value;
}

function lastNumber(bytes: Buffer, end: number): number {
  let start = end;
  while (isDigit(bytes[start - 1])) start--;
  return numberIn(bytes, start, end);
}
