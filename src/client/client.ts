import type { NativeLimits, RouteFrame } from "../native/frame.ts";
import type { Result } from "./calls.ts";
import { ClientCore } from "./client-core.ts";
import {
  type CallOptions,
  type ClientOptions,
  type ClientState,
  settingsOf,
} from "./client-options.ts";
import { type Dial, socketUrl } from "./client-socket.ts";
import { bytesOf, contentOf, type MessageInput } from "./content.ts";
import { Events } from "./events.ts";
import { Queues } from "./queues.ts";
import { Requests } from "./requests.ts";
import { Streams } from "./streams.ts";

export interface RouteOptions extends CallOptions {
  /** Of destinations that name none. */
  readonly pattern?: NonNullable<RouteFrame["pattern"]>;
  /** What is stored with the same id is stored once. */
  readonly messageId?: string;
}

/** A client of one broker; `connect` makes it. */
export class RillClient {
  readonly events: Events;
  readonly streams: Streams;
  readonly queues: Queues;
  readonly requests: Requests;
  readonly #core: ClientCore;

  /** For `connect`. */
  constructor(core: ClientCore) {
    this.#core = core;
    this.events = new Events(core);
    this.streams = new Streams(core);
    this.queues = new Queues(core);
    this.requests = new Requests(core);
  }

  get state(): ClientState {
    return this.#core.state;
  }

  /** Its name at the broker. */
  get clientId(): string {
    return this.#core.welcome?.clientId ?? "";
  }

  /** What the broker allows one connection; undefined before the first one. */
  get limits(): NativeLimits | undefined {
    return this.#core.welcome?.limits;
  }

  /**
   * One message to several destinations: `a;stream:b;queue:c;route:key`. Resolves when all that is stored is on disk, with what
   * became of each. @throws RillError; `connection-lost`: it may be done or not, and is not done again
   */
  route(to: string, message: MessageInput, options: RouteOptions = {}): Promise<Result> {
    const { pattern, messageId = this.#core.nextMessageId(), ...rest } = options;
    const frame = {
      ...contentOf(message),
      op: "route",
      to,
      messageId,
      ...(pattern === undefined ? {} : { pattern }),
    };
    return this.#core.ask(frame, { ...rest, bytes: bytesOf(frame) });
  }

  /**
   * Ends all subscriptions, waits for answers to what is under way, then closes the connection. Idempotent.
   * @param drainMs how long it waits; what is not answered then is told `closed`. Default 5 s.
   */
  close(drainMs = 5_000): Promise<void> {
    return this.#core.close(drainMs);
  }
}

/**
 * Connects; resolves when the broker has let us in.
 * @throws RillError for refusals and when nothing comes about in time; TypeError for what is no URL
 */
export async function connectThrough(
  dial: Dial,
  url: string,
  options: ClientOptions,
): Promise<RillClient> {
  const core = new ClientCore(socketUrl(url), settingsOf(options), dial);
  await core.connect();
  return new RillClient(core);
}
