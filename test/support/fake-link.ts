import { ByteWriter } from "../../src/lib/byte-writer.ts";
import type { Link } from "../../src/mqtt/link.ts";

/** A network connection in memory. What the broker wrote is taken by `take`; a test says whether there is room. */
export class FakeLink implements Link {
  readonly output = new ByteWriter();
  readonly peer = { address: "127.0.0.1", certificateSubject: undefined };
  hasRoom = true;
  isFlooded = false;
  isPaused = false;
  isClosed = false;

  touch(): void {}

  setPaused(isPaused: boolean): void {
    this.isPaused = isPaused;
  }

  close(): void {
    this.isClosed = true;
  }

  /** A copy of the bytes written since the last call. */
  take(): Uint8Array {
    // A Buffer's own `slice` would be a view.
    const bytes = Uint8Array.prototype.slice.call(this.output.bytes, 0, this.output.end);
    this.output.clear();
    return bytes;
  }
}
