import type {
  Delivery,
  PeekedMessage,
  QueueSettingsFrame,
  SendMessage,
  ServerFrame,
} from "../native/frame.ts";
import type { Result } from "./calls.ts";
import type { ClientCore } from "./client-core.ts";
import type { CallOptions } from "./client-options.ts";
import type { Connection } from "./connection.ts";
import { contentOf, type MessageInput } from "./content.ts";
import { RillError } from "./rill-error.ts";
import { expired, page, totalBytes, withId } from "./streams.ts";
import { Subscription, type SubscriptionOptions } from "./subscription.ts";

/** How a queue is made or changed; durations in milliseconds. */
export type QueueSettings = Omit<QueueSettingsFrame, "op" | "id" | "queue">;

/** What became of a message that was sent. */
export interface Sent {
  /** Absent while it is delayed. */
  readonly sequence?: number;
  /** When it will be in the queue, in milliseconds since 1970. */
  readonly delayedUntil?: number;
  /** The queue had it. */
  readonly duplicate?: boolean;
}

export interface ReceiveOptions extends CallOptions {
  /** Most messages. Default 1. */
  readonly max?: number;
  /** How long to wait for the first one. Default 0: answers at once. */
  readonly waitMs?: number;
  /** How long they are hidden from others. */
  readonly visibilityMs?: number;
}

export interface QueueSubscribeOptions extends SubscriptionOptions {
  readonly visibilityMs?: number;
}

export interface RequeueOptions extends CallOptions {
  readonly delayMs?: number;
  /** Another queue. */
  readonly to?: string;
}

/**
 * A message in the hands of this client, on the connection it came on. What settles it resolves when that is on disk.
 * @throws RillError `expired-delivery`: it is in other hands or will be; `connection-lost`: it may be done or not
 */
export interface QueueMessage extends Delivery {
  /** It is done. */
  ack(options?: CallOptions): Promise<void>;
  /** Gives it back to its place. */
  reject(options?: CallOptions & { readonly delayMs?: number }): Promise<void>;
  /** Puts it at the end of this queue or another. */
  requeue(options?: RequeueOptions): Promise<void>;
  /** Keeps it for so long from now. */
  extend(visibilityMs: number, options?: CallOptions): Promise<void>;
}

type How = "ack" | "reject" | "requeue" | "extend";

/** Work queues: each message to one receiver, until it is settled. */
export class Queues {
  readonly #core: ClientCore;

  constructor(core: ClientCore) {
    this.#core = core;
  }

  /** @throws RillError `exists` */
  create(queue: string, settings: QueueSettings = {}, options?: CallOptions): Promise<Result> {
    return this.#core.ask({ ...settings, op: "queue.create", queue }, options);
  }

  update(queue: string, settings: QueueSettings, options?: CallOptions): Promise<Result> {
    const frame = { ...settings, op: "queue.update", queue };
    return this.#core.ask(frame, { ...options, life: "repeatable" });
  }

  async delete(queue: string, options?: CallOptions): Promise<void> {
    await this.#core.ask({ op: "queue.delete", queue }, options);
  }

  /** What the broker tells of a queue, see the protocol. */
  info(queue: string, options?: CallOptions): Promise<Result> {
    return this.#core.ask({ op: "queue.info", queue }, { ...options, life: "repeatable" });
  }

  /** A page of queues by name, `after` one of them. */
  list(
    options: CallOptions & { readonly after?: string; readonly max?: number } = {},
  ): Promise<Result> {
    return this.#core.ask(
      { op: "queue.list", ...page(options) },
      { ...options, life: "repeatable" },
    );
  }

  /** Removes all messages, also those in somebody's hands. */
  purge(queue: string, options?: CallOptions): Promise<Result> {
    return this.#core.ask({ op: "queue.purge", queue }, options);
  }

  /** Settles all messages that nobody has in hands. */
  ackAll(queue: string, options?: CallOptions): Promise<Result> {
    return this.#core.ask({ op: "queue.ackAll", queue }, options);
  }

  /** Resolves when it is on disk. Sent once more after a lost connection; it is in the queue once. @throws RillError `full` */
  async send(
    queue: string,
    message: MessageInput<SendMessage>,
    options?: CallOptions,
  ): Promise<Sent> {
    const [sent = {}] = await this.sendAll(queue, [message], options);
    return sent;
  }

  /** All of them or none. @throws RillError as for `send` */
  async sendAll(
    queue: string,
    messages: readonly MessageInput<SendMessage>[],
    options: CallOptions = {},
  ): Promise<readonly Sent[]> {
    const contents = messages.map((message) => withId(this.#core, contentOf(message)));
    const { results } = await this.#core.ask(
      { op: "send", queue, messages: contents },
      { ...options, bytes: totalBytes(contents), life: "repeatable" },
    );
    return results as readonly Sent[];
  }

  /**
   * Takes messages; an empty list when none came in time. Asked again after a lost connection. Messages that come after the
   * caller has given up are given back. @throws RillError
   */
  async receive(queue: string, options: ReceiveOptions = {}): Promise<readonly QueueMessage[]> {
    const { max, waitMs = 0, visibilityMs, signal, timeoutMs } = options;
    const core = this.#core;
    const untilMs = performance.now() + waitMs;
    const result = await core.ask(
      () => ({
        op: "receive",
        queue,
        waitMs: Math.max(0, Math.ceil(untilMs - performance.now())),
        ...(max === undefined ? {} : { max }),
        ...(visibilityMs === undefined ? {} : { visibilityMs }),
      }),
      {
        signal,
        timeoutMs: (timeoutMs ?? core.settings.timeoutMs) + waitMs,
        life: "repeatable",
        onLate: (late) => this.#giveBack(queue, late["deliveries"] as readonly Delivery[]),
      },
    );
    const deliveries = result["deliveries"] as readonly Delivery[];
    // What was answered on a connection that is gone meanwhile is refused when it is settled.
    const { connection } = core;
    return deliveries.map((delivery) => queueMessage(core, queue, delivery, connection));
  }

  /** Messages as they come, no more than `window` waiting here. @throws RillError */
  subscribe(
    queue: string,
    options: QueueSubscribeOptions = {},
  ): Promise<Subscription<QueueMessage>> {
    const core = this.#core;
    const { visibilityMs, ...rest } = options;
    return Subscription.open<QueueMessage>(
      core,
      {
        isReturnedOnLoss: true,
        open: () => ({
          op: "queue.subscribe",
          queue,
          ...(visibilityMs === undefined ? {} : { visibilityMs }),
        }),
        items(frame: ServerFrame) {
          if (frame.op !== "deliveries") return [];
          const { connection } = core;
          return frame.deliveries.map((one) => queueMessage(core, queue, one, connection));
        },
        giveBack: (messages) => this.#giveBack(queue, messages),
      },
      rest,
    );
  }

  /** Messages and where they stand, without taking them. */
  async peek(
    queue: string,
    { from, max, ...options }: CallOptions & { readonly from?: number; readonly max?: number } = {},
  ): Promise<readonly PeekedMessage[]> {
    const frame = {
      op: "peek",
      queue,
      ...(from === undefined ? {} : { from }),
      ...(max === undefined ? {} : { max }),
    };
    const { messages } = await this.#core.ask(frame, { ...options, life: "repeatable" });
    return messages as readonly PeekedMessage[];
  }

  /** Acknowledges several messages of one queue in one piece; what is expired is in the error's text. @throws RillError */
  async ack(
    queue: string,
    messages: readonly QueueMessage[],
    options?: CallOptions,
  ): Promise<void> {
    const deliveries = messages.map(({ delivery }) => delivery);
    const first = messages[0];
    if (first === undefined) return;
    if (messages.some((one) => connections.get(one) !== this.#core.connection)) throw expired();
    const { expired: gone } = await settle(this.#core, queue, "ack", deliveries, {}, options);
    if (Array.isArray(gone) && gone.length > 0) {
      throw new RillError("expired-delivery", `not in our hands any more: ${gone.join(", ")}`);
    }
  }

  #giveBack(queue: string, deliveries: readonly Delivery[]): void {
    if (deliveries.length === 0) return;
    const numbers = deliveries.map(({ delivery }) => delivery);
    this.#core.send({ op: "settle", queue, how: "reject", deliveries: numbers });
  }
}

/** On which connection a message came. */
const connections = new WeakMap<QueueMessage, Connection | undefined>();

const settle = (
  core: ClientCore,
  queue: string,
  how: How,
  deliveries: readonly number[],
  fields: object,
  { signal, timeoutMs }: CallOptions = {},
): Promise<Result> =>
  core.ask(
    { ...fields, op: "settle", queue, how, deliveries },
    { signal, timeoutMs, isLast: true, life: "connection" },
  );

function queueMessage(
  core: ClientCore,
  queue: string,
  delivery: Delivery,
  connection: Connection | undefined,
): QueueMessage {
  const done = async (how: How, fields: object, options?: CallOptions): Promise<void> => {
    if (core.connection !== connection) throw expired();
    await settle(core, queue, how, [delivery.delivery], fields, options);
  };
  const message: QueueMessage = {
    ...delivery,
    ack: (options) => done("ack", {}, options),
    reject: ({ delayMs, ...options } = {}) =>
      done("reject", delayMs === undefined ? {} : { delayMs }, options),
    requeue: ({ delayMs, to, ...options } = {}) =>
      done(
        "requeue",
        { ...(delayMs === undefined ? {} : { delayMs }), ...(to === undefined ? {} : { to }) },
        options,
      ),
    extend: (visibilityMs, options) => done("extend", { visibilityMs }, options),
  };
  connections.set(message, connection);
  return message;
}
