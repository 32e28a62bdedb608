import { connect, type Socket } from "node:net";

const READ_BYTES = 262_144;

/**
 * A connection for load: reads into one buffer that is used again, keeps what is not whole yet, and writes what a turn brought at once.
 * `take` gets all bytes there are and says how many of them it has used.
 */
export class RawConnection {
  readonly #socket: Socket;
  #inbox = Buffer.alloc(READ_BYTES * 2);
  #end = 0;
  #out: Buffer[] = [];
  take: (bytes: Buffer, end: number) => number = (_bytes, end) => end;

  private constructor(port: number, onOpen: () => void, onFailed: (error: Error) => void) {
    const callback = (count: number, buffer: Uint8Array): boolean => {
      this.#received(buffer, count);
      return true;
    };
    const onread = { buffer: Buffer.alloc(READ_BYTES), callback };
    this.#socket = connect({ port, host: "127.0.0.1", noDelay: true, onread }, onOpen);
    this.#socket.on("error", onFailed);
    this.#socket.on("close", () => onFailed(new Error("the server closed the connection")));
  }

  static open(port: number): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const connection: RawConnection = new RawConnection(port, () => resolve(connection), reject);
    });
  }

  /** Goes out at the end of the turn. Hot path: per message. */
  write(bytes: Buffer): void {
    if (this.#out.push(bytes) === 1) setImmediate(() => this.#flush());
  }

  /** Goes out now. */
  writeNow(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  close(): void {
    this.#socket.removeAllListeners("close");
    this.#socket.destroy();
  }

  #flush(): void {
    const out = this.#out;
    this.#out = [];
    const [only] = out;
    if (only !== undefined) this.#socket.write(out.length === 1 ? only : Buffer.concat(out));
  }

  #received(chunk: Uint8Array, count: number): void {
    if (this.#end + count > this.#inbox.length) {
      const grown = Buffer.alloc(Math.max(this.#inbox.length * 2, this.#end + count));
      grown.set(this.#inbox.subarray(0, this.#end));
      this.#inbox = grown;
    }
    this.#inbox.set(count === chunk.length ? chunk : chunk.subarray(0, count), this.#end);
    this.#end += count;
    const used = this.take(this.#inbox, this.#end);
    if (used === 0) return;
    this.#inbox.copyWithin(0, used, this.#end);
    this.#end -= used;
  }
}
