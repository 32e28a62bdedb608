import type { Socket } from "node:net";
import { ByteWriter, recycle } from "../lib/byte-writer.ts";
import type { Link, Peer } from "../mqtt/link.ts";
import type { WriteListener } from "./direct-write.ts";
import type { NetworkCounters } from "./network-counters.ts";
import type { OutputBudget } from "./output-budget.ts";
import type { Turn, TurnLink } from "./turn.ts";
import { unsentBytes, type Wire } from "./wire.ts";

/** What one connection may have waiting, however much the others have: small packets always go out. */
const SHARE_BYTES = 16_384;

/** How long a peer may take to read the last words before its socket is destroyed. */
const LAST_WORDS_MS = 2_000;
/** Gathered output of this size is written at once: a turn may bring more than the write budget. */
const WRITE_BYTES = 65_536;
/** From so many write budgets on the peer is not read either: what it sends would only be answered with more output. */
const BUDGETS_MAX = 2;
/** How often per write timeout it is looked whether the kernel took anything. */
const LOOKS_PER_TIMEOUT = 4;

/** What the links of one listener share. */
export interface SocketLinkOptions {
  readonly turn: Turn;
  readonly counters: NetworkCounters;
  /** Write budget, in bytes. */
  readonly outputBytesMax: number;
  /** That of all connections together. */
  readonly budget: OutputBudget;
  /** With output over budget and no byte taken by the kernel for so long the connection is destroyed. */
  readonly writeTimeoutMs: number;
}

/** Who writes to a link: the protocol. */
interface Writer {
  /** `hasRoom` has become true again. */
  onRoom(): void;
}

/** The output of one network connection: gathered during a turn, written once, counted until the kernel has it. */
export class SocketLink implements Link, TurnLink, WriteListener {
  readonly output = new ByteWriter();
  readonly peer: Peer;
  /** Set once it is there. */
  writer: Writer | undefined = undefined;
  readonly #options: SocketLinkOptions;
  readonly #socket: Socket;
  readonly #wire: Wire;
  /** Bytes that the wire has and the kernel has not. */
  #queuedBytes = 0;
  #writesUnderWay = 0;
  #underWayBytes = 0;
  /** How much of the budget of all is ours. */
  #countedBytes = 0;
  #isTouched = false;
  #isClosing = false;
  #wasFull = false;
  /** The protocol wants no more input. */
  #isPaused = false;
  /** Too much output waits to read what asks for more. */
  #isFlooded = false;
  #watch: NodeJS.Timeout | undefined;
  #unsentBytes = 0;
  #looksWithoutProgress = 0;

  /** `socket`: the network connection itself, under TLS and WebSocket. */
  constructor(options: SocketLinkOptions, socket: Socket, wire: Wire, peer: Peer) {
    this.#options = options;
    this.#socket = socket;
    this.#wire = wire;
    this.peer = peer;
  }

  get hasRoom(): boolean {
    if (this.#waitingBytes < this.#bytesMax) return true;
    this.#wasFull = true;
    if (this.#writesUnderWay > 0) this.#watchReader();
    return false;
  }

  /** Written or gathered, and not taken by the kernel. */
  get #waitingBytes(): number {
    return this.#queuedBytes + this.output.end;
  }

  /** What may wait now: less when all connections together have too much. */
  get #bytesMax(): number {
    const { budget, outputBytesMax } = this.#options;
    return budget.isFull ? Math.min(SHARE_BYTES, outputBytesMax) : outputBytesMax;
  }

  get isFlooded(): boolean {
    return this.#isFlooded;
  }

  /** Hot path: per message. */
  touch(): void {
    if (this.output.end >= WRITE_BYTES) this.#write(this.output.end);
    if (this.#isTouched) return;
    this.#isTouched = true;
    this.#options.turn.add(this);
  }

  setPaused(isPaused: boolean): void {
    this.#isPaused = isPaused;
    this.#wire.setPaused(isPaused || this.#isFlooded);
  }

  close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.touch();
  }

  flush(): void {
    this.#isTouched = false;
    const { end } = this.output;
    // Behind a write under way small packets are gathered: each write of its own would cost a buffer.
    if (end > 0 && (this.#writesUnderWay === 0 || this.#isClosing)) this.#write(end);
    else if (end > 0) this.#account();
    if (this.#isClosing) this.#end();
    else if (this.#wasFull && this.hasRoom) this.#tellRoom();
  }

  /** Hot path: per socket and turn. */
  #write(end: number): void {
    const bytes = this.output.detach();
    const wire = this.#wire;
    if (wire.isGone) {
      recycle(bytes);
      this.#account();
      return;
    }
    this.#options.counters.bytesSent += end;
    if (wire.write(bytes, end, this)) {
      recycle(bytes);
      this.#account();
      return;
    }
    this.#writesUnderWay++;
    this.#underWayBytes += end;
    this.#queuedBytes = wire.queuedBytes;
    this.#account();
  }

  /** The wire does not need the bytes of an earlier write any more. */
  onWritten(bytes: Uint8Array, end: number): void {
    recycle(bytes);
    this.#writesUnderWay--;
    this.#underWayBytes -= end;
    this.#onWritten();
  }

  /** What waits has changed. Hot path: per socket and turn. */
  #account(): void {
    // Only what is ours: a WebSocket has bytes of its own waiting, too, whose end is not told.
    const counted = this.#underWayBytes + this.output.end;
    this.#options.budget.bytes += counted - this.#countedBytes;
    this.#countedBytes = counted;
    if (this.#waitingBytes >= this.#options.outputBytesMax && this.#writesUnderWay > 0)
      this.#onOverBudget();
  }

  #onWritten(): void {
    this.#queuedBytes = this.#wire.queuedBytes;
    if (this.#writesUnderWay === 0 && this.output.end > 0) this.#write(this.output.end);
    else this.#account();
    if (this.#waitingBytes >= this.#bytesMax) return;
    if (this.#isFlooded) {
      this.#isFlooded = false;
      if (!this.#isPaused && !this.#isClosing) this.#wire.setPaused(false);
    }
    if (this.#wasFull) this.#tellRoom();
  }

  #tellRoom(): void {
    this.#wasFull = false;
    this.writer?.onRoom();
    this.#options.turn.schedule();
  }

  #onOverBudget(): void {
    if (!this.#isFlooded && this.#waitingBytes >= this.#options.outputBytesMax * BUDGETS_MAX) {
      this.#isFlooded = true;
      this.#wire.setPaused(true);
    }
    this.#watchReader();
  }

  #watchReader(): void {
    if (this.#watch !== undefined) return;
    this.#looksWithoutProgress = 0;
    this.#unsentBytes = unsentBytes(this.#socket);
    const everyMs = this.#options.writeTimeoutMs / LOOKS_PER_TIMEOUT;
    this.#watch = setInterval(() => this.#look(), everyMs).unref();
  }

  /** Over budget: does the peer read? */
  #look(): void {
    const socket = this.#socket;
    const isOver = this.#wire.isGone || this.#waitingBytes < this.#bytesMax;
    const unsent = unsentBytes(socket);
    if (!isOver && unsent === this.#unsentBytes) this.#looksWithoutProgress++;
    else this.#looksWithoutProgress = 0;
    this.#unsentBytes = unsent;
    if (!isOver && this.#looksWithoutProgress < LOOKS_PER_TIMEOUT) return;
    clearInterval(this.#watch);
    this.#watch = undefined;
    if (isOver) return;
    this.#options.counters.writesStalled++;
    socket.destroy();
  }

  #end(): void {
    if (this.#wire.isGone) return;
    this.#wire.end();
    const socket = this.#socket;
    const timer = setTimeout(() => socket.destroy(), LAST_WORDS_MS);
    timer.unref();
    socket.once("close", () => clearTimeout(timer));
  }
}
