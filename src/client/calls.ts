/** Requests that wait to be sent or answered, in order; bounded. Those that may be done twice survive a lost connection. */
import type { ServerFrame } from "../native/frame.ts";
import type { Settings } from "./client-options.ts";
import { type Connection, errorOf } from "./connection.ts";
import { abortedBy, RillError } from "./rill-error.ts";
import { timerMs } from "./timer-ms.ts";

/** The answer's fields. */
export type Result = Readonly<Record<string, unknown>>;

/**
 * What becomes of a request when the connection is lost. `repeatable`: it is sent once more, being done twice is no harm. `once`: it
 * fails if it was sent. `connection`: it names what belongs to one connection, and fails with it.
 */
export type CallLife = "repeatable" | "once" | "connection";

/** One request. */
export interface CallPlan {
  /** The frame without its number; made anew when it is sent once more. */
  readonly frame: () => object;
  /** About so many bytes of payload are in it. */
  readonly bytes?: number;
  readonly life: CallLife;
  /** Goes before those that wait. */
  readonly isFirst?: boolean;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Called while the answer is handled, before any frame behind it. */
  readonly onOk: (result: Result) => void;
  readonly onError: (error: RillError) => void;
  /** The answer to what nobody waits for any more. */
  readonly onLate?: ((result: Result) => void) | undefined;
}

interface Call extends CallPlan {
  timer: ReturnType<typeof setTimeout> | undefined;
  onAbort: (() => void) | undefined;
  /** The caller knows how it ended. */
  isOver: boolean;
}

export class Calls {
  readonly #settings: Settings;
  readonly #onIdle: () => void;
  #waiting = new Set<Call>();
  readonly #sent = new Map<number, Call>();
  #bytes = 0;
  #lastId = 0;

  constructor(settings: Settings, onIdle: () => void) {
    this.#settings = settings;
    this.#onIdle = onIdle;
  }

  /** Those whose callers wait, and those sent whose answers are to come. */
  get size(): number {
    return this.#waiting.size + this.#sent.size;
  }

  /** Hot path: per request. `connection`: the open one. */
  add(plan: CallPlan, connection: Connection | undefined): void {
    const { bytes = 0, signal, timeoutMs } = plan;
    if (signal?.aborted) {
      plan.onError(abortedBy(signal));
      return;
    }
    if (plan.life === "connection" && connection === undefined) {
      plan.onError(new RillError("connection-lost", "there is no connection"));
      return;
    }
    const { requestsMax, requestBytesMax } = this.#settings;
    const isFull =
      this.size >= requestsMax || (this.size > 0 && this.#bytes + bytes > requestBytesMax);
    if (isFull && plan.isFirst !== true) {
      plan.onError(new RillError("busy", "too many requests wait for answers", { retry: true }));
      return;
    }
    const call: Call = { ...plan, timer: undefined, onAbort: undefined, isOver: false };
    call.timer = setTimeout(() => {
      const text = `no answer within ${timeoutMs} ms`;
      this.#giveUp(call, new RillError("timeout", text, { retry: plan.life === "repeatable" }));
    }, timerMs(timeoutMs));
    if (signal !== undefined) {
      call.onAbort = () => this.#giveUp(call, abortedBy(signal));
      signal.addEventListener("abort", call.onAbort, { once: true });
    }
    this.#bytes += bytes;
    if (plan.isFirst === true) this.#waiting = new Set([call, ...this.#waiting]);
    else this.#waiting.add(call);
    this.pump(connection);
  }

  /** Sends what may be sent. */
  pump(connection: Connection | undefined): void {
    const max = connection?.limits?.requestsMax ?? 0;
    if (connection === undefined) return;
    for (const call of this.#waiting) {
      if (this.#sent.size >= max || !connection.hasRoom) return;
      this.#waiting.delete(call);
      const id = ++this.#lastId;
      this.#sent.set(id, call);
      connection.send({ ...call.frame(), id }, call.bytes);
    }
  }

  /** Hot path: per answer. */
  onAnswer(frame: ServerFrame & { readonly id?: number }, connection: Connection): void {
    const call = this.#sent.get(frame.id ?? -1);
    if (frame.id === undefined || call === undefined) return;
    this.#sent.delete(frame.id);
    this.#bytes -= call.bytes ?? 0;
    if (call.isOver) {
      if (frame.op === "ok") call.onLate?.(frame);
    } else {
      this.#release(call);
      if (frame.op === "error") call.onError(errorOf(frame));
      else call.onOk(frame as unknown as Result);
    }
    this.pump(connection);
    if (this.size === 0) this.#onIdle();
  }

  /** The connection is gone: what may be done twice waits for the next one, before everything else. */
  onLost(cause: RillError): void {
    const sent = [...this.#sent.values()];
    const bound = [...this.#waiting].filter((call) => call.life === "connection");
    const again = sent.filter((call) => !call.isOver && call.life === "repeatable");
    const waiting = [...this.#waiting].filter((call) => call.life !== "connection");
    this.#sent.clear();
    this.#waiting = new Set([...again, ...waiting]);
    this.#bytes = 0;
    for (const call of this.#waiting) this.#bytes += call.bytes ?? 0;
    for (const call of [...sent, ...bound]) {
      if (call.isOver || this.#waiting.has(call)) continue;
      this.#release(call);
      const text = "the connection was lost while this was under way: it may be done or not";
      call.onError(new RillError("connection-lost", text, { cause }));
    }
    if (this.size === 0) this.#onIdle();
  }

  /** Ends all of them. */
  failAll(error: RillError): void {
    const calls = [...this.#sent.values(), ...this.#waiting].filter((call) => !call.isOver);
    this.#sent.clear();
    this.#waiting.clear();
    this.#bytes = 0;
    for (const call of calls) {
      this.#release(call);
      call.onError(error);
    }
  }

  /** The caller does not wait any more; what was sent keeps its place until it is answered. */
  #giveUp(call: Call, error: RillError): void {
    if (call.isOver) return;
    this.#release(call);
    if (this.#waiting.delete(call)) this.#bytes -= call.bytes ?? 0;
    call.onError(error);
    if (this.size === 0) this.#onIdle();
  }

  #release(call: Call): void {
    call.isOver = true;
    clearTimeout(call.timer);
    if (call.onAbort !== undefined) call.signal?.removeEventListener("abort", call.onAbort);
  }
}
