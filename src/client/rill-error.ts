import type { ErrorCode } from "../native/frame.ts";

/**
 * Codes that the client gives itself, beside those of the protocol:
 * `closed`: the client was closed. `connection-lost`: the connection went while this was under way and it must not be done twice:
 * it may be done or not. `unreachable`: no connection came about. `protocol`: the server said what makes no sense here.
 * `aborted`: the caller's signal.
 */
export type ClientErrorCode =
  | ErrorCode
  | "closed"
  | "connection-lost"
  | "unreachable"
  | "protocol"
  | "aborted";

/** Why something was not done. */
export class RillError extends Error {
  override readonly name = "RillError";
  readonly code: ClientErrorCode;
  /** The same may succeed later as it is. */
  readonly retry: boolean;
  /** Not before so many milliseconds have gone by. */
  readonly afterMs: number | undefined;
  /** Of `wrong-sequence`: what the first message would have got. */
  readonly nextSequence: number | undefined;

  constructor(
    code: ClientErrorCode,
    text: string,
    options: {
      readonly retry?: boolean;
      readonly afterMs?: number | undefined;
      readonly nextSequence?: number | undefined;
      readonly cause?: unknown;
    } = {},
  ) {
    super(text, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retry = options.retry === true;
    this.afterMs = options.afterMs;
    this.nextSequence = options.nextSequence;
  }
}

/** What a caller who aborted is told; what the signal was given as its reason is the cause. */
export const abortedBy = (signal: AbortSignal): RillError =>
  new RillError("aborted", "aborted by the caller", { cause: signal.reason });
