import type { EventFrame, ServerFrame } from "../native/frame.ts";
import type { ClientCore } from "./client-core.ts";
import type { CallOptions } from "./client-options.ts";
import { bytesOf, contentOf, type MessageInput } from "./content.ts";
import { Subscription, type SubscriptionOptions } from "./subscription.ts";

/** An event that came. */
export type EventMessage = Omit<EventFrame, "op" | "sub">;

export interface PublishOptions extends CallOptions {
  /** Kept as the topic's last message. */
  readonly retain?: boolean;
}

export interface SubscribeOptions extends SubscriptionOptions {
  /** One member of each group gets each event. */
  readonly group?: string;
  /** Sends what is retained first, also after reconnecting. */
  readonly retained?: boolean;
  /** Not what this client publishes. */
  readonly noLocal?: boolean;
  /** So many events found this subscription too slow and are gone. Must not throw. */
  readonly onDropped?: (count: number) => void;
}

/** Events: at most once, to who listens. */
export class Events {
  readonly #core: ClientCore;

  constructor(core: ClientCore) {
    this.#core = core;
  }

  /**
   * Resolves when the broker has it, and it is on disk for all who are owed it there; `isReached` is false when nobody listens.
   * @throws RillError; `connection-lost`: it may be published or not, and is not published again
   */
  async publish(
    topic: string,
    message: MessageInput,
    { retain, ...options }: PublishOptions = {},
  ): Promise<{ readonly isReached: boolean }> {
    const content = contentOf(message);
    const frame = { ...content, op: "publish", topic, ...(retain === true ? { retain } : {}) };
    const { reached } = await this.#core.ask(frame, { ...options, bytes: bytesOf(frame) });
    return { isReached: reached !== false };
  }

  /** Publishes without an answer; false: there is no connection just now, and it is gone. What is larger than the broker takes is gone, too. */
  tell(topic: string, message: MessageInput): boolean {
    const frame = { ...contentOf(message), op: "publish", topic };
    return this.#core.send(frame, bytesOf(frame));
  }

  /** Events of topics that match. What is published while the connection is lost does not come. @throws RillError */
  subscribe(filter: string, options: SubscribeOptions = {}): Promise<Subscription<EventMessage>> {
    const { group, retained, noLocal, onDropped } = options;
    return Subscription.open<EventMessage>(
      this.#core,
      {
        isReturnedOnLoss: false,
        open: () => ({
          op: "subscribe",
          filter,
          ...(group === undefined ? {} : { group }),
          ...(retained === true ? { retained } : {}),
          ...(noLocal === true ? { noLocal } : {}),
        }),
        items(frame: ServerFrame) {
          if (frame.op === "event") return [frame];
          if (frame.op === "dropped") onDropped?.(frame.count);
          return [];
        },
      },
      options,
    );
  }
}
