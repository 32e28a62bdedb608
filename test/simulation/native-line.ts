/**
 * One connection of the native protocol from dialling to its end, over a simulated link: frames go in WebSocket messages, which arrive and are
 * read when the world says so. Whatever the broker writes is judged as if it had been read at once, in the order in which it was written on all
 * connections together; what the client does about it waits until it has read it.
 */
import assert from "node:assert/strict";
import type { NativeConnection } from "../../src/native/connection.ts";
import { type ClientFrame, type ServerFrame, SUBPROTOCOLS } from "../../src/native/frame.ts";
import { codecOf, type FrameCodec } from "../../src/native/frame-codec.ts";
import { type Mark, SimulatedLink } from "./simulated-link.ts";
import type { Stage } from "./stage.ts";

/** Without a frame for so long the broker asks, and after twice as long it ends the connection. */
export const IDLE_MS = 1_000;
/** Requests that may wait for the disk, so that the broker stops reading now and then. */
export const REQUESTS_MAX = 8;
/** Most of what a client has ready to be sent. */
const SENDING_MAX = 30;

/** What a client sends: the number is given by its line. */
export type Asking = ClientFrame extends infer Frame
  ? Frame extends { readonly id: number }
    ? Omit<Frame, "id">
    : Frame
  : never;
/** What was answered; any field may be looked at. */
export type Answer = Readonly<Record<string, unknown>> & { readonly op: string };

/** What is told of one request. */
export interface Asked {
  /** The broker has its bytes. */
  arrived?(): void;
  /** The broker wrote the answer. */
  answered(answer: Answer, mark: Mark): void;
  /** The client has read it. */
  read?(answer: Answer): void;
  /** The connection is over and there was no answer. */
  unanswered?(hasArrived: boolean): void;
  /** The answer is there so long after it could be handled. */
  readonly withinMs?: number;
}

/** What is told of one sub. */
export interface LineSub {
  written(frame: ServerFrame, mark: Mark): void;
  read(frame: ServerFrame): void;
}

/** A frame that the broker wrote, or, without one, that it closed the connection. */
export interface Written {
  readonly line: NativeLine;
  readonly mark: Mark;
  readonly frame: ServerFrame | undefined;
}

interface Sending {
  readonly frame: unknown;
  readonly id: number | undefined;
  readonly arrived: (() => void) | undefined;
}

interface Waiting {
  readonly op: string;
  readonly asked: Asked;
  hasArrived: boolean;
  /** By then nothing kept the broker from handling it. */
  handledBy: number | undefined;
}

export class NativeLine {
  readonly clientId: string;
  readonly stage: Stage;
  isOver = false;
  /** The client has forgotten it: it sends and reads nothing any more. */
  isAbandoned = false;
  /** Called when it is over, in order. */
  readonly onOver: (() => void)[] = [];
  readonly #connection: NativeConnection;
  readonly #link: SimulatedLink;
  readonly #codec: FrameCodec;
  #toBroker: Sending[][] = [];
  #unread: { readonly frames: readonly ServerFrame[]; readonly bytes: number }[] = [];
  readonly #waiting = new Map<number, Waiting>();
  /** Answers that the client has not read. */
  readonly #answered = new Map<number, Asked>();
  readonly #subs = new Map<number, LineSub>();
  #lastId = 0;
  #isClosed = false;
  #lastArrivedAt: number;
  /** When something arrived, or the broker did not want to read. */
  #lastHeardAt: number;

  constructor(stage: Stage, clientId: string) {
    this.stage = stage;
    this.clientId = clientId;
    const subprotocol = stage.pick(SUBPROTOCOLS);
    const bytesMax = stage.hasFaults && stage.chance(0.5) ? 300 + stage.below(4_000) : 1_000_000;
    this.#link = new SimulatedLink(bytesMax, () => ({ order: stage.nextOrder(), at: stage.now }));
    this.#connection = stage.node.acceptNative(this.#link, subprotocol);
    this.#codec = codecOf(subprotocol);
    this.#lastHeardAt = stage.now;
    this.#lastArrivedAt = stage.now;
    this.ask(
      { op: "hello", versions: [1], clientId },
      { answered: ({ op }) => assert.equal(op, "welcome", `${clientId}: hello`) },
    );
  }

  /** The broker handles nothing just now. */
  get isBlocked(): boolean {
    return this.#link.isPaused || !this.#link.hasRoom;
  }

  get hasRoom(): boolean {
    return this.#link.hasRoom;
  }

  /** Nothing is in transit, and all is answered. */
  get isQuiet(): boolean {
    return this.#toBroker.length + this.#unread.length + this.#waiting.size === 0;
  }

  /** Something is on its way to the broker. */
  get isSending(): boolean {
    return !this.isOver && this.#toBroker.length > 0;
  }

  /** The client has too much to send already. */
  get isBusy(): boolean {
    return this.#toBroker.length > SENDING_MAX || this.#waiting.size > SENDING_MAX;
  }

  ask(frame: Asking, asked: Asked): void {
    const id = ++this.#lastId;
    const waiting = { op: frame.op, asked, hasArrived: false, handledBy: undefined };
    this.#waiting.set(id, waiting);
    this.#push({ frame: { ...frame, id }, id, arrived: asked.arrived?.bind(asked) });
  }

  /** Sends what is not answered. */
  note(frame: Asking, arrived?: () => void): void {
    this.#push({ frame, id: undefined, arrived });
  }

  /** What comes for this number is told to `sub`; called when the sub's number is answered. */
  open(number: number, sub: LineSub): void {
    this.#subs.set(number, sub);
  }

  /** The next WebSocket message arrives at the broker, if it reads. */
  out(): void {
    const { stage } = this;
    if (this.isOver || this.isAbandoned) return;
    // What the network had read already comes all the same.
    if (this.#link.isPaused && !(stage.hasFaults && stage.chance(0.1))) return;
    const message = this.#toBroker.shift();
    if (message === undefined) return;
    for (const { id, arrived } of message) {
      const waiting = id === undefined ? undefined : this.#waiting.get(id);
      if (waiting !== undefined) waiting.hasArrived = true;
      arrived?.();
    }
    const frames = message.map(({ frame }) => frame);
    const encoded = this.#codec.encode(frames.length === 1 ? frames[0] : frames);
    this.#lastHeardAt = stage.now;
    this.#lastArrivedAt = stage.now;
    this.#connection.receive(Buffer.from(encoded));
    stage.node.turn();
  }

  /** The client reads up to `count` WebSocket messages. */
  in(count: number): void {
    if (this.isAbandoned) return;
    for (const { frames, bytes } of this.#unread.splice(0, count)) {
      for (const frame of frames) this.#read(frame);
      if (this.#link.read(bytes) && !this.isOver) {
        this.#connection.onRoom();
        this.stage.node.turn();
      }
    }
  }

  /** The network connection breaks; the broker notices. */
  lose(): void {
    if (this.isOver) return;
    this.#end();
    this.#connection.onClosed();
    this.stage.node.turn();
  }

  /** The broker's process is gone. */
  crashed(): void {
    this.#end();
  }

  /** What was written since the last call. */
  gather(into: Written[]): void {
    const taken = this.#link.take();
    if (taken !== undefined) {
      const frames = this.#codec.decode(taken.bytes) as ServerFrame[];
      assert.equal(frames.length, taken.marks.length, `${this.clientId}: frames in one message`);
      for (const [i, frame] of frames.entries()) {
        into.push({ line: this, mark: taken.marks[i] as Mark, frame });
      }
      this.#unread.push({ frames, bytes: taken.bytes.length });
    }
    const { closedAt } = this.#link;
    if (closedAt === undefined || this.#isClosed) return;
    this.#isClosed = true;
    into.push({ line: this, mark: closedAt, frame: undefined });
  }

  /** Judges what was written. */
  written({ frame, mark }: Written): void {
    if (this.isOver) return;
    const { id, sub } = namesIn(frame);
    if (frame === undefined) assert.fail(`${this.clientId}: closed without a word`);
    else if (id !== undefined) this.#answer(id, frame, mark);
    else if (sub !== undefined) this.#sub(sub).written(frame, mark);
    else if (frame.op === "error") this.#closed(frame.code, mark);
    else assert.equal(frame.op, "ping");
  }

  /** Answers come in time, and whoever is silent for long is not kept. */
  checkTimes(): void {
    const { now } = this.stage;
    if (this.isBlocked) this.#lastHeardAt = now;
    assert.ok(now <= this.#lastHeardAt + 3 * IDLE_MS, `${this.clientId} is silent and still here`);
    for (const waiting of this.#waiting.values()) {
      if (!waiting.hasArrived) continue;
      if (!this.isBlocked) waiting.handledBy ??= now;
      this.#checkTime(waiting, now);
    }
  }

  #push(sending: Sending): void {
    const last = this.#toBroker.at(-1);
    if (last !== undefined && last.length < 4 && this.stage.chance(0.3)) last.push(sending);
    else this.#toBroker.push([sending]);
  }

  #sub(number: number): LineSub {
    const sub = this.#subs.get(number);
    assert.ok(sub !== undefined, `${this.clientId}: something for sub ${number}`);
    return sub;
  }

  #answer(id: number, frame: ServerFrame, mark: Mark): void {
    const waiting = this.#waiting.get(id);
    assert.ok(waiting?.hasArrived, `${this.clientId}: ${JSON.stringify(frame)} answers nothing`);
    this.#checkTime(waiting, mark.at);
    this.#waiting.delete(id);
    this.#answered.set(id, waiting.asked);
    waiting.asked.answered(frame as unknown as Answer, mark);
  }

  #checkTime({ asked, handledBy, op }: Waiting, now: number): void {
    if (asked.withinMs === undefined || handledBy === undefined) return;
    const late = now - handledBy - asked.withinMs;
    assert.ok(late <= 0, `${this.clientId}: ${op} is answered ${late} ms too late`);
  }

  #read(frame: ServerFrame): void {
    const { id, sub } = namesIn(frame);
    if (id !== undefined) {
      const asked = this.#answered.get(id);
      this.#answered.delete(id);
      asked?.read?.(frame as unknown as Answer);
    } else if (sub !== undefined) this.#sub(sub).read(frame);
    else if (frame.op === "ping") this.note({ op: "pong" });
  }

  /** The broker says why it ends the connection; what was in hands here is free from then on. */
  #closed(code: string, { at }: Mark): void {
    const why = `${this.clientId}: closed by the broker with ${code}`;
    if (code === "taken-over") assert.ok(this.isAbandoned, why);
    else {
      assert.equal(code, "timeout", why);
      const isSilent = at >= this.#lastArrivedAt + 2 * IDLE_MS && at >= this.#lastHeardAt + IDLE_MS;
      assert.ok(isSilent, `${why} ${at - this.#lastArrivedAt} ms behind what came`);
    }
    this.#end();
  }

  #end(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#toBroker = [];
    this.#unread = [];
    for (const { asked, hasArrived } of this.#waiting.values()) asked.unanswered?.(hasArrived);
    this.#waiting.clear();
    for (const tell of this.onOver) tell();
  }
}

/** The request that a frame answers, or the sub that it is for. */
function namesIn(frame: ServerFrame | undefined): { readonly id?: number; readonly sub?: number } {
  return frame === undefined ? {} : (frame as { readonly id?: number; readonly sub?: number });
}

/** Everything that was written on these connections, in the order in which it was. */
export function judge(lines: Iterable<NativeLine>): void {
  const all: Written[] = [];
  for (const line of lines) line.gather(all);
  all.sort((a, b) => a.mark.order - b.mark.order);
  for (const written of all) written.line.written(written);
}
