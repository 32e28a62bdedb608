/** A client of bytes: what is sent and what must come are written down digit by digit, so that no codec of ours is between. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { wire } from "../unit/mqtt/wire.ts";

const WAIT_MS = 5_000;

/** A packet: its first byte and its body in the notation of `wire`; the Remaining Length is put between. */
export function packet(first: number, body = ""): Buffer {
  const bytes = wire(body);
  const length: number[] = [];
  for (let rest = bytes.length; length.length === 0 || rest > 0; rest = Math.floor(rest / 128)) {
    length.push((rest % 128) + (rest >= 128 ? 128 : 0));
  }
  return Buffer.concat([Buffer.from([first, ...length]), bytes]);
}

/** A UTF-8 string with its length in the notation of `wire`; `hex` is taken as it is. */
export function field(text: string, hex = ""): string {
  const bytes = Buffer.concat([Buffer.from(text), Buffer.from(hex, "hex")]);
  return bytes.length.toString(16).padStart(4, "0") + bytes.toString("hex");
}

/** One network connection, byte by byte. */
export class RawClient {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  #isClosed = false;
  #onChange: () => void = () => undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#onChange();
    });
    socket.on("close", () => {
      this.#isClosed = true;
      this.#onChange();
    });
  }

  /** Opens a network connection; it is gone at the end of the test. */
  static async open(t: TestContext, port: number): Promise<RawClient> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    t.after(() => socket.destroy());
    await once(socket, "connect");
    return new RawClient(socket);
  }

  /** Sends bytes; text is in the notation of `wire`. */
  send(...parts: (string | Uint8Array)[]): void {
    const bytes = parts.map((part) => (typeof part === "string" ? wire(part) : part));
    this.#socket.write(Buffer.concat(bytes));
  }

  /** Waits for exactly these bytes, in the notation of `wire`. */
  async expect(notation: string): Promise<void> {
    const wanted = wire(notation);
    const isThere = (): boolean => this.#isClosed || this.#received.length >= wanted.length;
    await this.#until(`${notation}`, isThere);
    const got = this.#received.subarray(0, wanted.length);
    assert.equal(got.toString("hex"), wanted.toString("hex"));
    this.#received = this.#received.subarray(wanted.length);
  }

  /** Waits until the broker has closed the network connection; what came and was not expected, as hexadecimal digits. */
  async ended(): Promise<string> {
    await this.#until("the end of the connection", () => this.#isClosed);
    return this.#received.toString("hex");
  }

  async #until(what: string, isTrue: () => boolean): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        const failed = (): void => {
          reject(new Error(`no ${what} in ${WAIT_MS} ms; got ${this.#received.toString("hex")}`));
        };
        timer = setTimeout(failed, WAIT_MS);
        this.#onChange = () => {
          if (isTrue()) resolve();
        };
        this.#onChange();
      });
    } finally {
      clearTimeout(timer);
      this.#onChange = () => undefined;
    }
  }
}
