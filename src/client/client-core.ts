/**
 * The life of a client: one connection after the other, the requests and subs that outlive them.
 *
 *     connecting   a connection is on its way
 *     connected    it is open: subs are open or being opened, requests go out
 *     waiting      it is gone or did not come about; the next attempt has a time
 *     closed       for good; everything that waited was told
 */
import type { ServerFrame, WelcomeFrame } from "../native/frame.ts";
import { Backoff } from "./backoff.ts";
import { type CallLife, type CallPlan, Calls, type Result } from "./calls.ts";
import type { CallOptions, ClientState, Settings } from "./client-options.ts";
import type { Dial } from "./client-socket.ts";
import { Connection, type ConnectionOwner, isFatal } from "./connection.ts";
import { abortedBy, RillError } from "./rill-error.ts";
import { timerMs } from "./timer-ms.ts";

/** A connection that lasted so long was a good one: the next attempt begins with the shortest pause. */
const GOOD_MS = 5_000;

/** What a sub is to the core. */
export interface CoreSub {
  /** A connection is open. */
  onOpen(): void;
  /** A frame for it. */
  onFrame(frame: ServerFrame): void;
  /** The connection is gone. */
  onLost(): void;
  /** The client is closed; undefined: by its caller. */
  onClosed(cause: RillError | undefined): void;
}

/** What `ask` takes besides the frame. */
export interface AskOptions extends CallOptions {
  readonly bytes?: number;
  /** Default `once`. */
  readonly life?: CallLife;
  /** Also while the client is closing. */
  readonly isLast?: boolean;
  readonly onLate?: (result: Result) => void;
}

export class ClientCore implements ConnectionOwner {
  readonly settings: Settings;
  readonly #dial: Dial;
  readonly #url: string;
  readonly #calls: Calls;
  readonly #backoff: Backoff;
  readonly #subs = new Set<CoreSub>();
  /** By the server's numbers, of this connection. */
  readonly #openSubs = new Map<number, CoreSub>();
  #connection: Connection | undefined;
  #isOpen = false;
  #openedAt = 0;
  #welcome: WelcomeFrame | undefined;
  #state: ClientState = { name: "connecting", attempt: 1 };
  #isClosing = false;
  #closing: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #onIdle: (() => void) | undefined;
  #onConnected: { resolve(): void; reject(error: RillError): void } | undefined;
  /** Begins ids of messages: never the same for two clients. */
  readonly #idStem = randomText();
  #lastMessageId = 0;

  constructor(url: string, settings: Settings, dial: Dial) {
    this.#url = url;
    this.settings = settings;
    this.#dial = dial;
    this.#calls = new Calls(settings, () => this.#onIdle?.());
    this.#backoff = new Backoff(settings.backoffMinMs, settings.backoffMaxMs);
  }

  get state(): ClientState {
    return this.#state;
  }

  /** What the server said last about itself; undefined before the first connection. */
  get welcome(): WelcomeFrame | undefined {
    return this.#welcome;
  }

  /** The open connection; undefined: there is none just now. */
  get connection(): Connection | undefined {
    return this.#isOpen ? this.#connection : undefined;
  }

  /** Resolves once it is connected. @throws RillError when that fails for good or takes too long */
  async connect(): Promise<void> {
    const { connectTimeoutMs, signal } = this.settings;
    if (signal?.aborted) throw abortedBy(signal);
    const connected = new Promise<void>((resolve, reject) => {
      this.#onConnected = { resolve, reject };
    });
    const timer = setTimeout(() => {
      const cause = this.#state.name === "waiting" ? this.#state.cause : undefined;
      const text = cause?.message ?? `not connected within ${connectTimeoutMs} ms`;
      this.#finish(new RillError("unreachable", text, { retry: true, cause }));
    }, timerMs(connectTimeoutMs));
    const onAbort = (): void => {
      if (signal !== undefined) this.#finish(abortedBy(signal));
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      this.#attempt();
      await connected;
    } finally {
      this.#onConnected = undefined;
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** An id for a message whose sender gave it none, so that sending it twice adds it once. */
  nextMessageId(): string {
    return `${this.#idStem}-${(++this.#lastMessageId).toString(36)}`;
  }

  /** Sends a request; resolves with its answer. @throws RillError */
  ask(frame: object | (() => object), options: AskOptions = {}): Promise<Result> {
    const { bytes = 0, life = "once", isLast = false, timeoutMs, signal, onLate } = options;
    return new Promise((resolve, reject) => {
      if (this.#isClosing && !isLast) {
        reject(new RillError("closed", "the client is closed"));
        return;
      }
      this.call({
        frame: typeof frame === "function" ? (frame as () => object) : () => frame,
        bytes,
        life,
        timeoutMs: timeoutMs ?? this.settings.timeoutMs,
        signal,
        onOk: resolve,
        onError: reject,
        onLate,
      });
    });
  }

  /** The same with callbacks. */
  call(plan: CallPlan): void {
    if (this.#state.name === "closed") {
      plan.onError(new RillError("closed", "the client is closed", { cause: this.#state.cause }));
    } else {
      this.#calls.add(plan, this.connection);
    }
  }

  /** Sends a frame that is not answered; false: there is no connection, and it is gone. */
  send(frame: object, bytes = 0): boolean {
    const { connection } = this;
    connection?.send(frame, bytes);
    return connection !== undefined;
  }

  /** From now on it is told of connections. */
  addSub(sub: CoreSub): void {
    if (this.#isClosing || this.#state.name === "closed") {
      sub.onClosed(new RillError("closed", "the client is closed"));
      return;
    }
    this.#subs.add(sub);
    if (this.#isOpen) sub.onOpen();
  }

  removeSub(sub: CoreSub): void {
    this.#subs.delete(sub);
  }

  /** Frames with this number are for it. */
  setOpen(id: number, sub: CoreSub): void {
    this.#openSubs.set(id, sub);
  }

  setEnded(id: number): void {
    this.#openSubs.delete(id);
  }

  /**
   * Ends the subs, waits up to `drainMs` for answers, then closes the connection.
   * What is not answered then is told `closed`.
   */
  close(drainMs: number): Promise<void> {
    this.#closing ??= this.#close(drainMs);
    return this.#closing;
  }

  async #close(drainMs: number): Promise<void> {
    if (this.#state.name === "closed") return;
    this.#isClosing = true;
    for (const sub of [...this.#subs]) sub.onClosed(undefined);
    if (this.#calls.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timerMs(drainMs));
        this.#onIdle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#finish(undefined);
  }

  onOpen(welcome: WelcomeFrame): void {
    this.#isOpen = true;
    this.#openedAt = performance.now();
    this.#welcome = welcome;
    this.#setState({ name: "connected", clientId: welcome.clientId, server: welcome.server });
    this.#onConnected?.resolve();
    for (const sub of [...this.#subs]) sub.onOpen();
    this.#calls.pump(this.connection);
  }

  onRoom(): void {
    this.#calls.pump(this.connection);
  }

  /** Hot path: per frame. */
  onFrame(frame: ServerFrame): void {
    if (frame?.op === "ok" || frame?.op === "error") {
      if (this.#connection !== undefined) this.#calls.onAnswer(frame, this.#connection);
    } else if (typeof frame === "object" && frame !== null && "sub" in frame) {
      this.#openSubs.get(frame.sub)?.onFrame(frame);
    }
  }

  /** Whoever asked is told; a requester whose answer this is, too. */
  onTooLarge(frame: object, bytesMax: number): void {
    const { op, id, request } = frame as { op?: unknown; id?: number; request?: number };
    const text = `larger than the ${bytesMax} bytes that the broker takes at once`;
    if (id !== undefined) this.onFrame({ op: "error", id, code: "too-large", text, retry: false });
    else if (op === "reply") this.send({ op: "reply", request, error: `the reply is ${text}` });
  }

  onEnded(cause: RillError): void {
    const wasOpen = this.#isOpen;
    this.#isOpen = false;
    this.#connection = undefined;
    if (this.#state.name === "closed") return;
    this.#openSubs.clear();
    if (wasOpen) {
      for (const sub of [...this.#subs]) sub.onLost();
      this.#calls.onLost(cause);
    }
    if (isFatal(cause) || !this.settings.reconnects) {
      this.#finish(cause);
      return;
    }
    if (wasOpen && performance.now() - this.#openedAt >= GOOD_MS) this.#backoff.reset();
    const delayMs = Math.max(this.#backoff.next(), cause.afterMs ?? 0);
    this.#setState({ name: "waiting", delayMs, cause });
    this.#timer = setTimeout(() => this.#attempt(), timerMs(delayMs));
  }

  #attempt(): void {
    this.#setState({ name: "connecting", attempt: this.#backoff.attempts + 1 });
    try {
      this.#connection = new Connection(this, this.settings, this.#dial, this.#url);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.#finish(new RillError("unreachable", text, { cause: error }));
    }
  }

  #finish(cause: RillError | undefined): void {
    if (this.#state.name === "closed") return;
    this.#isClosing = true;
    clearTimeout(this.#timer);
    this.#setState({ name: "closed", cause });
    const connection = this.#connection;
    const error = new RillError("closed", "the client is closed", { cause });
    connection?.end(cause ?? error);
    for (const sub of [...this.#subs]) sub.onClosed(cause);
    this.#subs.clear();
    this.#openSubs.clear();
    this.#calls.failAll(cause ?? error);
    this.#onIdle?.();
    this.#onConnected?.reject(cause ?? error);
  }

  #setState(state: ClientState): void {
    this.#state = state;
    this.settings.onState?.(state);
  }
}

/** 96 random bits. */
function randomText(): string {
  const numbers = crypto.getRandomValues(new Uint32Array(3));
  return [...numbers].map((number) => number.toString(36)).join("");
}
