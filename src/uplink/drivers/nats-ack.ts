import type { Failure } from "../remote.ts";

/** What a reply to a publish says. */
export type PublishReply =
  | { readonly kind: "stored"; readonly position: number; readonly stream: string }
  | { readonly kind: "failed"; readonly failure: Failure };

interface ReplyBody {
  readonly stream?: unknown;
  readonly seq?: unknown;
  readonly duplicate?: unknown;
  readonly error?: {
    readonly code?: unknown;
    readonly err_code?: unknown;
    readonly description?: unknown;
  };
}

/** "too many requests": the stream's leader has too much inbound (servers from 2.11). */
const TOO_MANY_REQUESTS = 10_167;
/** Errors of a moment: no leader, insufficient resources, no quorum, not available, timeout. */
const PASSING_ERRORS = new Set([10_008, 10_009, 10_023, 10_118, 10_165]);

/** About one message: larger than the stream's `max_msg_size`, headers larger than 64 KiB. */
const POISON_ERRORS = new Set([10_054, 10_097]);

const transport = (reason: string): PublishReply => ({
  kind: "failed",
  failure: { class: "transport", reason },
});

/**
 * Reads a reply. Stored counts only with a sequence: servers may answer `duplicate` with sequence 0 for an id that was
 * staged by a leader that died before it stored it.
 *
 * @param status of the reply's header; 503: nobody answers for the subject
 */
export function decodePublishReply(status: number, body: Uint8Array): PublishReply {
  if (status === 503) return transport("no responders: no stream takes the subject now (503)");
  let reply: ReplyBody;
  try {
    reply = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString("utf8"));
  } catch {
    return transport("the reply to a publish is not JSON");
  }
  if (typeof reply !== "object" || reply === null) return transport("the reply is not an object");
  if (reply.error !== undefined) return { kind: "failed", failure: failureOf(reply.error) };
  if (typeof reply.seq !== "number" || typeof reply.stream !== "string") {
    return transport("the reply to a publish has no sequence");
  }
  if (reply.seq <= 0) return transport("acknowledged as a duplicate that was never stored (seq 0)");
  return { kind: "stored", position: reply.seq, stream: reply.stream };
}

/** The class of an error of the JetStream API. */
export function failureOf(error: NonNullable<ReplyBody["error"]>): Failure {
  const code = typeof error.code === "number" ? error.code : 0;
  const apiCode = typeof error.err_code === "number" ? error.err_code : 0;
  const description = typeof error.description === "string" ? error.description : "no description";
  const reason = `${description} (${code}/${apiCode})`;
  if (code === 429 || apiCode === TOO_MANY_REQUESTS) return { class: "throttle", reason };
  if (PASSING_ERRORS.has(apiCode)) return { class: "transport", reason };
  return { class: POISON_ERRORS.has(apiCode) ? "poison" : "lane", reason };
}
