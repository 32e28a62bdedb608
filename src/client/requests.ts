import type { Content, IncomingRequestFrame, ServerFrame } from "../native/frame.ts";
import type { ClientCore } from "./client-core.ts";
import type { CallOptions } from "./client-options.ts";
import type { Connection } from "./connection.ts";
import { bytesOf, contentOf, type MessageInput } from "./content.ts";
import { Subscription, type SubscriptionOptions } from "./subscription.ts";
import { timerMs } from "./timer-ms.ts";

/** How long a responder has, unless told otherwise. */
const TIMEOUT_MS = 10_000;
/** The broker answers at the deadline; after so much longer it is not waited for. */
const GRACE_MS = 5_000;

export interface RequestOptions extends Omit<CallOptions, "timeoutMs"> {
  /** The responder's deadline. Default 10 s. */
  readonly timeoutMs?: number;
  /** A reply under this key that is not older than its time to live is the answer. */
  readonly cacheKey?: string;
  readonly cacheTtlMs?: number;
  /** The responder may be asked twice: asked again after a lost connection. Default false. */
  readonly isRepeatable?: boolean;
}

/** The answer to a request. */
export interface Reply extends Content {
  /** It was remembered and nobody was asked. */
  readonly cached?: boolean;
}

/** A request that came. */
export type IncomingRequest = Omit<IncomingRequestFrame, "op" | "sub" | "request"> & {
  /** Aborted at the request's deadline: nobody waits any more. */
  readonly signal: AbortSignal;
};

export interface RespondOptions extends SubscriptionOptions {
  /** One member of each group is asked. */
  readonly group?: string;
  /** Most requests handled at the same time. Default 16. */
  readonly concurrency?: number;
}

/** Answers a request; what it throws reaches the requester as `responder-error` with the error's text. */
export type RequestHandler = (
  request: IncomingRequest,
) => MessageInput | undefined | Promise<MessageInput | undefined>;

/** Somebody who answers. */
export interface Responder {
  /** Resolves when it has ended. @throws RillError when that was not by the caller */
  readonly ended: Promise<void>;
  /** Takes no more requests; resolves when those under way are answered. */
  close(): Promise<void>;
}

interface Asked {
  readonly frame: IncomingRequestFrame;
  readonly connection: Connection | undefined;
}

/** Requests: one question, one answer, before a deadline. */
export class Requests {
  readonly #core: ClientCore;

  constructor(core: ClientCore) {
    this.#core = core;
  }

  /**
   * Resolves with the first reply.
   * @throws RillError `no-responder`, `timeout`, `responder-error`; `connection-lost`: it may be done or not
   */
  async request(
    topic: string,
    message: MessageInput,
    options: RequestOptions = {},
  ): Promise<Reply> {
    const { timeoutMs = TIMEOUT_MS, cacheKey, cacheTtlMs, isRepeatable = false, signal } = options;
    const untilMs = performance.now() + timeoutMs;
    const content = contentOf(message);
    const reply = await this.#core.ask(
      () => ({
        ...content,
        op: "request",
        topic,
        timeoutMs: Math.max(1, Math.ceil(untilMs - performance.now())),
        ...(cacheKey === undefined ? {} : { cacheKey }),
        ...(cacheTtlMs === undefined ? {} : { cacheTtlMs }),
      }),
      {
        signal,
        timeoutMs: timeoutMs + GRACE_MS,
        bytes: bytesOf(content),
        life: isRepeatable ? "repeatable" : "once",
      },
    );
    const { op: _op, id: _id, ...fields } = reply;
    return fields as Reply;
  }

  /** Answers requests to topics that match, until it is closed; goes on after a lost connection. @throws RillError */
  async respond(
    filter: string,
    handler: RequestHandler,
    options: RespondOptions = {},
  ): Promise<Responder> {
    const { group, concurrency = 16, ...rest } = options;
    const core = this.#core;
    const subscription = await Subscription.open<Asked>(
      core,
      {
        isReturnedOnLoss: true,
        open: () => ({ op: "respond", filter, ...(group === undefined ? {} : { group }) }),
        items: (frame: ServerFrame) =>
          frame.op === "request" ? [{ frame, connection: core.connection }] : [],
      },
      { window: concurrency, ...rest },
    );
    const work = async (): Promise<void> => {
      for (;;) {
        const { value } = await subscription.next();
        if (value === undefined) return;
        await answer(core, value, handler);
      }
    };
    const ended = Promise.all(Array.from({ length: concurrency }, work)).then(() => undefined);
    ended.catch(() => undefined);
    return {
      ended,
      async close() {
        await subscription.close();
        await ended;
      },
    };
  }
}

async function answer(
  core: ClientCore,
  { frame, connection }: Asked,
  handler: RequestHandler,
): Promise<void> {
  const { op: _op, sub: _sub, request, ...content } = frame;
  const aborter = new AbortController();
  const { deadlineMs } = frame as { readonly deadlineMs?: number };
  const timer =
    deadlineMs === undefined ? undefined : setTimeout(() => aborter.abort(), timerMs(deadlineMs));
  let reply: Content & { readonly error?: string };
  let bytes = 0;
  try {
    reply = contentOf((await handler({ ...content, signal: aborter.signal })) ?? {});
    bytes = bytesOf(reply);
  } catch (error) {
    reply = { error: error instanceof Error ? error.message : String(error) };
  } finally {
    clearTimeout(timer);
  }
  // Of a connection that is gone nobody waits.
  if (core.connection !== connection) return;
  core.send({ ...reply, op: "reply", request }, bytes);
}
