import assert from "node:assert/strict";
import type { NativeConnection } from "../../src/native/connection.ts";
import type { ClientFrame, ServerFrame, Subprotocol } from "../../src/native/frame.ts";
import { codecOf, type FrameCodec } from "../../src/native/frame-codec.ts";
import type { FakeLink } from "./fake-link.ts";
import type { VirtualNode } from "./virtual-node.ts";

/** A frame without its number, which the client gives it. */
type Numbered<Frame> = Frame extends { readonly id: number } ? Omit<Frame, "id"> : Frame;
/** What may be asked. */
export type Request = Numbered<ClientFrame>;
/** What was answered; any field may be looked at. */
export type Answer = Readonly<Record<string, unknown>> & { readonly op: string };

/** One connection of the native protocol from the client's side: says exactly what it is told to say and remembers what it got. */
export class NativeClient {
  readonly connection: NativeConnection;
  readonly link: FakeLink;
  /** What came that is no answer to `ask`, in order. */
  readonly got: ServerFrame[] = [];
  readonly #node: VirtualNode;
  readonly #codec: FrameCodec;
  readonly #answers = new Map<number, Answer>();
  #lastId = 0;
  #isLost = false;

  constructor(
    node: VirtualNode,
    connection: NativeConnection,
    link: FakeLink,
    subprotocol: Subprotocol,
  ) {
    this.#node = node;
    this.connection = connection;
    this.link = link;
    this.#codec = codecOf(subprotocol);
  }

  get isClosed(): boolean {
    this.take();
    return this.link.isClosed;
  }

  /** Sends frames as one message. */
  send(...frames: readonly unknown[]): void {
    const encoded = this.#codec.encode(frames.length === 1 ? frames[0] : frames);
    this.sendRaw(typeof encoded === "string" ? Buffer.from(encoded) : Buffer.from(encoded));
  }

  sendRaw(message: Uint8Array): void {
    if (this.#isLost) return;
    this.connection.receive(message);
    this.#node.turn();
  }

  /** Sends a request and returns its number. */
  begin(request: Request | Readonly<Record<string, unknown>>): number {
    const id = ++this.#lastId;
    this.send({ ...request, id });
    return id;
  }

  /** What was answered so far; undefined: nothing. */
  answerTo(id: number): Answer | undefined {
    this.take();
    return this.#answers.get(id);
  }

  /** Sends a request; its answer must be there at the end of the turn. */
  ask(request: Request | Readonly<Record<string, unknown>>): Answer {
    const answer = this.answerTo(this.begin(request));
    assert.ok(answer !== undefined, `no answer to ${JSON.stringify(request)}`);
    return answer;
  }

  /** The same; it must be done. */
  ok(request: Request | Readonly<Record<string, unknown>>): Answer {
    const answer = this.ask(request);
    assert.notEqual(answer.op, "error", JSON.stringify(answer));
    return answer;
  }

  /** The same; it must be refused. Returns the code. */
  refused(request: Request | Readonly<Record<string, unknown>>): string {
    const answer = this.ask(request);
    assert.equal(answer.op, "error", JSON.stringify(answer));
    return answer["code"] as string;
  }

  /** All that came since the last call of this or of what looks for answers, answers as well; in order. */
  takeFrames(): ServerFrame[] {
    const bytes = this.link.take();
    return bytes.length === 0 ? [] : (this.#codec.decode(bytes) as ServerFrame[]);
  }

  /** What came since the last call and is no answer. */
  take(): ServerFrame[] {
    const bytes = this.link.take();
    if (bytes.length > 0) {
      for (const frame of this.#codec.decode(bytes) as ServerFrame[]) {
        const { id } = frame as { readonly id?: number };
        if (id === undefined) this.got.push(frame);
        else this.#answers.set(id, frame as unknown as Answer);
      }
    }
    return this.got;
  }

  /** Frames of one kind, taken away. */
  takeAll<Op extends ServerFrame["op"]>(op: Op): Extract<ServerFrame, { readonly op: Op }>[] {
    this.take();
    const found = this.got.filter((frame) => frame.op === op);
    this.got.splice(0, this.got.length, ...this.got.filter((frame) => frame.op !== op));
    return found as Extract<ServerFrame, { readonly op: Op }>[];
  }

  /** The network connection is gone. */
  drop(): void {
    if (this.#isLost) return;
    this.#isLost = true;
    this.connection.onClosed();
    this.#node.forget(this);
    this.#node.turn();
  }
}

export const textOf = (payload: Uint8Array | undefined): string =>
  Buffer.from(payload ?? new Uint8Array(0)).toString();
