/**
 * What a server delivers as it comes, as an async iterator. It grants credit as items are taken from it, so that no more than
 * its window waits here. After a lost connection it is opened again and goes on.
 *
 *     opening    the request is out, or waits for a connection
 *     open       it has a number on this connection
 *     closing    over for the caller; the server is told, and what still comes is given back
 *     over
 */
import type { ServerFrame } from "../native/frame.ts";
import type { Result } from "./calls.ts";
import type { ClientCore, CoreSub } from "./client-core.ts";
import { abortedBy, RillError } from "./rill-error.ts";
import { timerMs } from "./timer-ms.ts";

/** Before it is asked once more after a refusal that may pass. */
const RETRY_MS = 500;

/** What every subscription takes. */
export interface SubscriptionOptions {
  /** Ends it: the iterator throws. */
  readonly signal?: AbortSignal | undefined;
  /** Most items that wait here. Default 64. */
  readonly window?: number | undefined;
  /** It was opened again after a lost connection. Must not throw. */
  readonly onResumed?: (() => void) | undefined;
}

/** What one kind of subscription is about. */
export interface SubscriptionKind<Item> {
  /** The request that opens it, without `id` and `credit`. */
  open(): object;
  onOpened?(result: Result): void;
  /** The items of a frame, for the sub of this number. */
  items(frame: ServerFrame, sub: number): readonly Item[];
  /** True: the server gives to others, or once more, what a connection had when it was lost. */
  readonly isReturnedOnLoss: boolean;
  /** Items that nobody will take, while their connection lives. */
  giveBack?(items: readonly Item[], sub: number): void;
}

interface Waiter<Item> {
  resolve(result: IteratorResult<Item, undefined>): void;
  reject(error: RillError): void;
}

export class Subscription<Item> implements AsyncIterableIterator<Item, undefined>, CoreSub {
  readonly #core: ClientCore;
  readonly #kind: SubscriptionKind<Item>;
  readonly #options: SubscriptionOptions;
  readonly #window: number;
  #items: Item[] = [];
  #next = 0;
  readonly #waiters: Waiter<Item>[] = [];
  #state: "opening" | "open" | "closing" | "over" = "opening";
  #sub: number | undefined;
  /** Tells answers to requests of earlier connections apart. */
  #attempt = 0;
  #isFirst = true;
  /** Taken from here, and the server does not know. */
  #owedCredit = 0;
  #error: RillError | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #openTimer: ReturnType<typeof setTimeout> | undefined;
  #onOpened: { resolve(): void; reject(error: RillError): void } | undefined;
  readonly #onAbort = (): void => {
    if (this.#options.signal !== undefined) this.#end(abortedBy(this.#options.signal));
  };

  private constructor(
    core: ClientCore,
    kind: SubscriptionKind<Item>,
    options: SubscriptionOptions,
  ) {
    this.#core = core;
    this.#kind = kind;
    this.#options = options;
    this.#window = Math.max(1, Math.floor(options.window ?? 64));
  }

  /** Resolves when the server has opened it. @throws RillError when it refuses */
  static async open<Item>(
    core: ClientCore,
    kind: SubscriptionKind<Item>,
    options: SubscriptionOptions,
  ): Promise<Subscription<Item>> {
    const { signal } = options;
    if (signal?.aborted) throw abortedBy(signal);
    const subscription = new Subscription(core, kind, options);
    const opened = new Promise<void>((resolve, reject) => {
      subscription.#onOpened = { resolve, reject };
    });
    const { timeoutMs } = core.settings;
    subscription.#openTimer = setTimeout(() => {
      const text = `not opened within ${timeoutMs} ms`;
      subscription.#end(new RillError("timeout", text, { retry: true }));
    }, timerMs(timeoutMs));
    signal?.addEventListener("abort", subscription.#onAbort, { once: true });
    core.addSub(subscription);
    await opened;
    return subscription;
  }

  /** Items that came and were not taken. */
  get waiting(): number {
    return this.#items.length - this.#next;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next item; may be called again before it came. @throws RillError when it ends otherwise than by the caller */
  next(): Promise<IteratorResult<Item, undefined>> {
    if (this.waiting > 0) {
      const value = this.#items[this.#next] as Item;
      this.#next++;
      if (this.#next === this.#items.length) {
        this.#items = [];
        this.#next = 0;
      }
      this.#onTaken(1);
      return Promise.resolve({ value, done: false });
    }
    if (this.#state === "closing" || this.#state === "over") {
      const error = this.#error;
      this.#error = undefined;
      if (error !== undefined) return Promise.reject(error);
      return Promise.resolve({ value: undefined, done: true });
    }
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /** Ends it; a loop over it that is left calls this. */
  return(): Promise<IteratorResult<Item, undefined>> {
    this.#end(undefined);
    return Promise.resolve({ value: undefined, done: true });
  }

  /** Ends it: the iterator is done. */
  async close(): Promise<void> {
    await this.return();
  }

  onOpen(): void {
    if (this.#state !== "opening") return;
    const attempt = ++this.#attempt;
    this.#owedCredit = 0;
    const isMine = (): boolean => attempt === this.#attempt;
    this.#core.call({
      frame: () => ({ ...this.#kind.open(), credit: this.#window - this.waiting }),
      life: "connection",
      isFirst: true,
      timeoutMs: this.#core.settings.timeoutMs,
      onOk: (result) => this.#onOk(result, isMine()),
      onError: (error) => {
        if (isMine()) this.#onRefused(error);
      },
      onLate: (result) => this.#onOk(result, false),
    });
  }

  /** Hot path: per frame. */
  onFrame(frame: ServerFrame): void {
    const sub = this.#sub;
    if (sub === undefined) return;
    if (frame.op === "ended") {
      this.#core.setEnded(sub);
      this.#sub = undefined;
      if (this.#state === "closing") this.#over();
      else if (this.#state === "open") {
        this.#state = "opening";
        this.#onRefused(new RillError(frame.code, frame.text, { retry: frame.retry }), true);
      }
      return;
    }
    const items = this.#kind.items(frame, sub);
    if (this.#state !== "open") {
      if (items.length > 0) this.#kind.giveBack?.(items, sub);
      return;
    }
    let taken = 0;
    for (const value of items) {
      const waiter = this.#waiters.shift();
      if (waiter === undefined) this.#items.push(value);
      else {
        taken++;
        waiter.resolve({ value, done: false });
      }
    }
    if (taken > 0) this.#onTaken(taken);
  }

  onLost(): void {
    this.#sub = undefined;
    this.#attempt++;
    clearTimeout(this.#retryTimer);
    if (this.#state === "closing") this.#over();
    else if (this.#state === "open") this.#state = "opening";
    if (this.#kind.isReturnedOnLoss) {
      this.#items = [];
      this.#next = 0;
    }
  }

  onClosed(cause: RillError | undefined): void {
    this.#end(cause);
  }

  #onOk(result: Result, isMine: boolean): void {
    const sub = result["sub"] as number;
    if (!isMine || this.#state !== "opening") {
      // The caller has ended it meanwhile.
      this.#unsubscribe(sub);
      return;
    }
    this.#sub = sub;
    this.#state = "open";
    this.#core.setOpen(sub, this);
    this.#kind.onOpened?.(result);
    clearTimeout(this.#openTimer);
    this.#onOpened?.resolve();
    this.#onOpened = undefined;
    if (!this.#isFirst) this.#options.onResumed?.();
    this.#isFirst = false;
  }

  #onRefused(error: RillError, hasEnded = false): void {
    if (error.code === "connection-lost") return;
    if (!error.retry || (this.#isFirst && !hasEnded)) {
      this.#end(error);
      return;
    }
    const delayMs = error.afterMs ?? RETRY_MS * (1 + Math.random());
    this.#retryTimer = setTimeout(() => {
      if (this.#core.connection !== undefined) this.onOpen();
    }, delayMs);
  }

  #onTaken(count: number): void {
    this.#owedCredit += count;
    if (this.#sub === undefined || this.#state !== "open") return;
    if (this.#owedCredit * 2 < this.#window) return;
    this.#core.send({ op: "credit", sub: this.#sub, add: this.#owedCredit });
    this.#owedCredit = 0;
  }

  #end(error: RillError | undefined): void {
    if (this.#state === "closing" || this.#state === "over") return;
    const sub = this.#sub;
    this.#state = "closing";
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#openTimer);
    const left = this.#items.slice(this.#next);
    this.#items = [];
    this.#next = 0;
    this.#onOpened?.reject(error ?? new RillError("closed", "the client is closed"));
    const [first, ...rest] = this.#waiters.splice(0);
    if (error === undefined) first?.resolve({ value: undefined, done: true });
    else if (first !== undefined) first.reject(error);
    else if (this.#onOpened === undefined) this.#error = error;
    this.#onOpened = undefined;
    for (const waiter of rest) waiter.resolve({ value: undefined, done: true });
    if (sub === undefined || this.#core.connection === undefined) {
      this.#over();
      return;
    }
    if (left.length > 0) this.#kind.giveBack?.(left, sub);
    this.#unsubscribe(sub, () => this.#over());
  }

  #unsubscribe(sub: number, then: () => void = () => undefined): void {
    this.#core.call({
      frame: () => ({ op: "unsubscribe", sub }),
      life: "connection",
      isFirst: true,
      timeoutMs: this.#core.settings.timeoutMs,
      onOk: then,
      onError: then,
    });
  }

  #over(): void {
    this.#state = "over";
    if (this.#sub !== undefined) this.#core.setEnded(this.#sub);
    this.#sub = undefined;
    this.#core.removeSub(this);
  }
}
