import type { Socket } from "node:net";
import { ByteWriter, recycle } from "../lib/byte-writer.ts";
import type { Link } from "../mqtt/link.ts";
import type { Turn, TurnLink } from "./turn.ts";

/** How long a peer may take to read the last words before its socket is destroyed. */
const LAST_WORDS_MS = 2_000;
/** Gathered output of this size is written at once: a turn may bring more than the write budget. */
const WRITE_BYTES = 65_536;

/** The output of one socket: gathered during a turn, written once, counted until the kernel has it. */
export class SocketLink implements Link, TurnLink {
  readonly output = new ByteWriter();
  readonly #socket: Socket;
  readonly #turn: Turn;
  readonly #outputBytesMax: number;
  readonly #onRoom: () => void;
  /** Bytes that the socket has and the kernel has not. */
  #queuedBytes = 0;
  #isTouched = false;
  #isClosing = false;
  #wasFull = false;

  /** `onRoom` is called when `hasRoom` has become true again. */
  constructor(socket: Socket, turn: Turn, outputBytesMax: number, onRoom: () => void) {
    this.#socket = socket;
    this.#turn = turn;
    this.#outputBytesMax = outputBytesMax;
    this.#onRoom = onRoom;
  }

  get hasRoom(): boolean {
    if (this.#queuedBytes + this.output.end < this.#outputBytesMax) return true;
    this.#wasFull = true;
    return false;
  }

  /** Hot path: per message. */
  touch(): void {
    if (this.output.end >= WRITE_BYTES) this.#write(this.output.end);
    if (this.#isTouched) return;
    this.#isTouched = true;
    this.#turn.add(this);
  }

  setPaused(isPaused: boolean): void {
    if (isPaused) this.#socket.pause();
    else this.#socket.resume();
  }

  close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.touch();
  }

  flush(): void {
    this.#isTouched = false;
    const { end } = this.output;
    if (end > 0) this.#write(end);
    if (this.#isClosing) this.#end();
    else if (this.#wasFull && this.hasRoom) this.#tellRoom();
  }

  #write(end: number): void {
    const bytes = this.output.detach();
    if (this.#socket.destroyed) {
      recycle(bytes);
      return;
    }
    this.#socket.write(bytes.subarray(0, end), () => {
      this.#queuedBytes = this.#socket.writableLength;
      recycle(bytes);
      if (this.#wasFull && this.hasRoom) this.#tellRoom();
    });
    this.#queuedBytes = this.#socket.writableLength;
  }

  #tellRoom(): void {
    this.#wasFull = false;
    this.#onRoom();
    this.#turn.schedule();
  }

  #end(): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    socket.resume();
    socket.end();
    const timer = setTimeout(() => socket.destroy(), LAST_WORDS_MS);
    timer.unref();
    socket.once("close", () => clearTimeout(timer));
  }
}
