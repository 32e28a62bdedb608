/** Why a request is not done: what its error frame says. */
import type { StoreRefusal } from "../broker/store.ts";
import type { ErrorCode } from "./frame.ts";

/** Codes whose request may succeed later as it is. */
const RETRYABLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "busy",
  "full",
  "no-responder",
  "timeout",
  "held",
  "store-failed",
  "shutting-down",
]);

/** True when the same request may succeed later. */
export const isRetryable = (code: ErrorCode): boolean => RETRYABLE.has(code);

/** Thrown by what handles a request; becomes its error. */
export class Refusal extends Error {
  readonly code: ErrorCode;
  /** Fields of the error frame beside the usual ones. */
  readonly fields: Readonly<Record<string, unknown>> | undefined;

  constructor(code: ErrorCode, text: string, fields?: Readonly<Record<string, unknown>>) {
    super(text);
    this.code = code;
    this.fields = fields;
  }
}

/** The store has no room for now: the frame is to be tried again when there is. */
export const HOLD = Symbol("hold");
/** What became of a frame; undefined: it is done, or will be answered. */
export type Handled = typeof HOLD | undefined;

/**
 * HOLD when the store takes nothing more just now; undefined: it takes something.
 * @throws Refusal when it takes nothing for longer
 */
export function holdFor(refusal: StoreRefusal | undefined): Handled {
  if (refusal === undefined) return undefined;
  if (refusal === "pending-full") return HOLD;
  if (refusal === "failed") throw new Refusal("store-failed", "the store has failed");
  throw new Refusal("full", refusal === "disk-full" ? "the disk is full" : "the store is full");
}
