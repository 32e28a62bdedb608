import { ByteWriter } from "../../src/lib/byte-writer.ts";
import type { NativeLink } from "../../src/native/link.ts";

/** When something was written: among all connections, and by the node's clock. */
export interface Mark {
  readonly order: number;
  readonly at: number;
}

/** A WebSocket in memory: what the broker wrote and nobody has read yet counts against its budget, as on a real one. */
export class SimulatedLink implements NativeLink {
  readonly output = new ByteWriter();
  readonly peer = { address: "127.0.0.1", certificateSubject: undefined };
  isPaused = false;
  /** When the broker closed it; undefined: it has not. */
  closedAt: Mark | undefined;
  readonly #mark: () => Mark;
  readonly #bytesMax: number;
  #waitingBytes = 0;
  #marks: Mark[] = [];
  #wasFull = false;

  constructor(bytesMax: number, mark: () => Mark) {
    this.#bytesMax = bytesMax;
    this.#mark = mark;
  }

  get hasRoom(): boolean {
    if (this.#waitingBytes + this.output.end < this.#bytesMax) return true;
    this.#wasFull = true;
    return false;
  }

  /** Called by the broker once for each frame. */
  touch(): void {
    this.#marks.push(this.#mark());
  }

  setPaused(isPaused: boolean): void {
    this.isPaused = isPaused;
  }

  close(): void {
    this.closedAt ??= this.#mark();
  }

  /** What was written since the last call, one WebSocket message, and when each of its frames was; undefined: nothing. */
  take(): { readonly bytes: Uint8Array; readonly marks: readonly Mark[] } | undefined {
    if (this.output.end === 0) return undefined;
    // A Buffer's own `slice` would be a view.
    const bytes = Uint8Array.prototype.slice.call(this.output.bytes, 0, this.output.end);
    this.output.clear();
    this.#waitingBytes += bytes.length;
    const marks = this.#marks;
    this.#marks = [];
    return { bytes, marks };
  }

  /** The client has read so many bytes. True: there is room again, and the broker wants to know. */
  read(bytes: number): boolean {
    this.#waitingBytes -= bytes;
    if (!this.#wasFull || !this.hasRoom) return false;
    this.#wasFull = false;
    return true;
  }
}
