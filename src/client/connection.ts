/**
 * One connection, from the WebSocket's opening to its end; never used again. Frames of one turn go out together.
 *
 *     opening      the WebSocket is made
 *     greeting     `hello` is out
 *     open         `welcome` came: frames go both ways
 *     ended        whatever the reason, told once
 */
import type { ErrorFrame, NativeLimits, ServerFrame, WelcomeFrame } from "../native/frame.ts";
import { SUBPROTOCOLS } from "../native/frame.ts";
import { codecOf, type FrameCodec } from "../native/frame-codec.ts";
import type { Settings } from "./client-options.ts";
import type { ClientSocket, Dial } from "./client-socket.ts";
import { RillError } from "./rill-error.ts";
import { timerMs } from "./timer-ms.ts";

/** With more than that handed to the network, the rest waits here. */
const BUFFERED_BYTES_MAX = 1_048_576;
/** Frames and payload bytes of one message of the WebSocket, about. */
const BATCH_FRAMES_MAX = 256;
const BATCH_BYTES_MAX = 65_536;
const ROOM_CHECK_MS = 5;

/** Who owns a connection. */
export interface ConnectionOwner {
  onOpen(welcome: WelcomeFrame): void;
  onFrame(frame: ServerFrame): void;
  /** There may be room for more. */
  onRoom(): void;
  onEnded(cause: RillError): void;
  /** This frame was not sent: the server takes no more than so many bytes. */
  onTooLarge(frame: object, bytesMax: number): void;
}

const utf8 = new TextEncoder();

/** Refusals of `hello`, and ends, that trying again does not change. */
const FATAL: ReadonlySet<string> = new Set([
  "bad-frame",
  "unsupported-version",
  "not-authenticated",
  "bad-credentials",
  "not-authorized",
  "taken-over",
  "kicked",
]);

/** True when connecting again makes no sense. */
export const isFatal = (error: RillError): boolean => FATAL.has(error.code);

/** What an error frame says. */
export const errorOf = ({ code, text, retry, afterMs, nextSequence }: ErrorFrame): RillError =>
  new RillError(code, text, { retry, afterMs, nextSequence });

export class Connection {
  readonly #owner: ConnectionOwner;
  readonly #settings: Settings;
  readonly #socket: ClientSocket;
  #codec: FrameCodec | undefined;
  #state: "opening" | "greeting" | "open" | "ended" = "opening";
  #outgoing: { readonly frame: object; readonly bytes: number }[] = [];
  #isFlushPlanned = false;
  #roomTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #idleTimer: ReturnType<typeof setInterval>;
  #lastReceivedAt = performance.now();
  #limits: NativeLimits | undefined;

  /** @throws whatever `dial` does */
  constructor(owner: ConnectionOwner, settings: Settings, dial: Dial, url: string) {
    this.#owner = owner;
    this.#settings = settings;
    this.#socket = dial(url, settings.subprotocols);
    this.#socket.binaryType = "arraybuffer";
    let cause: unknown;
    this.#socket.onopen = () => this.#greet();
    this.#socket.onmessage = ({ data }: { readonly data: unknown }) => this.#onMessage(data);
    this.#socket.onerror = (event: { readonly error?: unknown; readonly message?: unknown }) => {
      cause = event.error ?? event.message;
    };
    this.#socket.onclose = ({ code, reason }: { readonly code: number; readonly reason: string }) =>
      this.#onClosed(code, reason, cause);
    this.#idleTimer = setInterval(
      () => this.#checkIdle(),
      timerMs(Math.max(50, settings.idleMs / 2)),
    );
  }

  /** Undefined until it is open. */
  get limits(): NativeLimits | undefined {
    return this.#limits;
  }

  /** False: what is sent now waits here. */
  get hasRoom(): boolean {
    return this.#state === "open" && this.#roomTimer === undefined;
  }

  /** Hot path: per frame. `bytes`: about so many bytes of payload are in it. */
  send(frame: object, bytes = 0): void {
    if (this.#state === "ended") return;
    this.#outgoing.push({ frame, bytes });
    if (this.#isFlushPlanned || this.#roomTimer !== undefined) return;
    this.#isFlushPlanned = true;
    queueMicrotask(() => this.#flush());
  }

  /** Ends it from this side: what was sent goes out first. */
  end(cause: RillError): void {
    if (this.#state === "ended") return;
    if (this.#state !== "opening") this.#write(Number.POSITIVE_INFINITY);
    this.#finish(cause);
  }

  #greet(): void {
    if (this.#state !== "opening") return;
    const subprotocol = SUBPROTOCOLS.find((one) => one === this.#socket.protocol);
    if (subprotocol === undefined) {
      this.#finish(new RillError("protocol", "the server speaks none of our subprotocols"));
      return;
    }
    this.#codec = codecOf(subprotocol);
    this.#state = "greeting";
    const { user, password, clientId, program } = this.#settings;
    this.send({
      op: "hello",
      id: 0,
      versions: [1],
      client: program,
      ...(user === undefined ? {} : { user }),
      ...(password === undefined ? {} : { password }),
      ...(clientId === undefined ? {} : { clientId }),
    });
  }

  #onMessage(data: unknown): void {
    if (this.#state === "ended" || this.#codec === undefined) return;
    this.#lastReceivedAt = performance.now();
    let frames: readonly unknown[];
    try {
      const bytes =
        typeof data === "string" ? utf8.encode(data) : new Uint8Array(data as ArrayBuffer);
      frames = this.#codec.decode(bytes);
    } catch (error) {
      this.end(new RillError("protocol", "the server sent what is no frame", { cause: error }));
      return;
    }
    for (const frame of frames) this.#onFrame(frame as ServerFrame);
  }

  #onFrame(frame: ServerFrame): void {
    const isGreeting = this.#state === "greeting";
    if (frame?.op === "ping") {
      this.send({ op: "pong" });
    } else if (frame?.op === "welcome" && isGreeting) {
      this.#state = "open";
      this.#limits = frame.limits;
      this.#owner.onOpen(frame);
    } else if (frame?.op === "error" && (frame.id === undefined || isGreeting)) {
      this.end(errorOf(frame));
    } else if (this.#state === "open") {
      this.#owner.onFrame(frame);
    }
  }

  #onClosed(code: number, reason: string, cause: unknown): void {
    const wasOpen = this.#state === "open";
    const why =
      cause instanceof Error ? reasonOf(cause) : `${code}${reason === "" ? "" : ` ${reason}`}`;
    const text = wasOpen ? `the connection was lost: ${why}` : `cannot connect: ${why}`;
    const options = { retry: true, cause };
    this.#finish(new RillError(wasOpen ? "connection-lost" : "unreachable", text, options));
  }

  #checkIdle(): void {
    const silentMs = performance.now() - this.#lastReceivedAt;
    if (silentMs >= 2 * this.#settings.idleMs) {
      const code = this.#state === "open" ? "connection-lost" : "unreachable";
      this.#finish(new RillError(code, "the server is silent", { retry: true }));
    } else if (silentMs >= this.#settings.idleMs && this.#state === "open") {
      this.send({ op: "ping", id: 0 });
    }
  }

  #flush(): void {
    this.#isFlushPlanned = false;
    if (this.#state !== "ended") this.#write(BUFFERED_BYTES_MAX);
  }

  /** Writes what there is as long as the network has not more than `bytesMax` to do. */
  #write(bytesMax: number): void {
    const codec = this.#codec;
    if (codec === undefined) return;
    let next = 0;
    while (next < this.#outgoing.length && this.#socket.bufferedAmount <= bytesMax) {
      const batch: object[] = [];
      let bytes = 0;
      for (; next < this.#outgoing.length && batch.length < BATCH_FRAMES_MAX; next++) {
        const one = this.#outgoing[next];
        if (one === undefined || (batch.length > 0 && bytes + one.bytes > BATCH_BYTES_MAX)) break;
        batch.push(one.frame);
        bytes += one.bytes;
      }
      this.#hand(codec, batch);
    }
    this.#outgoing = next === this.#outgoing.length ? [] : this.#outgoing.slice(next);
    if (this.#outgoing.length > 0) this.#waitForRoom();
  }

  /** To the network; a frame that is larger than what the server takes stays here, for with it the connection would end. */
  #hand(codec: FrameCodec, batch: readonly object[]): void {
    const [only] = batch;
    const message = codec.encode(batch.length === 1 ? only : batch);
    const bytesMax = this.#limits?.frameBytesMax ?? Number.POSITIVE_INFINITY;
    if (isWithin(message, bytesMax)) this.#socket.send(message);
    else if (batch.length > 1) for (const frame of batch) this.#hand(codec, [frame]);
    else if (only !== undefined) this.#owner.onTooLarge(only, bytesMax);
  }

  #waitForRoom(): void {
    this.#roomTimer ??= setTimeout(() => {
      this.#roomTimer = undefined;
      this.#flush();
      if (this.hasRoom) this.#owner.onRoom();
    }, ROOM_CHECK_MS);
  }

  #finish(cause: RillError): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    clearInterval(this.#idleTimer);
    clearTimeout(this.#roomTimer);
    this.#outgoing = [];
    this.#socket.onmessage = null;
    try {
      this.#socket.close(1_000);
    } catch {
      // It was closed before it was open.
    }
    this.#owner.onEnded(cause);
  }
}

/** Whether a message has at most so many bytes as UTF-8. */
const isWithin = (message: Uint8Array | string, bytesMax: number): boolean =>
  typeof message !== "string"
    ? message.length <= bytesMax
    : message.length * 3 <= bytesMax || utf8.encode(message).length <= bytesMax;

/** The words of an error, also of one that is several. */
function reasonOf(error: Error): string {
  const [first] = error instanceof AggregateError ? (error.errors as unknown[]) : [];
  if (first instanceof Error) return reasonOf(first);
  if (error.message !== "") return error.message;
  return "code" in error ? String(error.code) : error.name;
}
