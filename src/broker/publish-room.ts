/** Whether a published message can be taken: by the store, its stream, its queues, and the sessions that are to refuse when they are full. */
import type { FanOut } from "./fan-out.ts";
import type { OutboundLimits } from "./limits.ts";
import type { Message } from "./message.ts";
import type { Queues } from "./queues.ts";
import type { RetainedMessages } from "./retained-messages.ts";
import type { Session } from "./session.ts";
import type { TreeSubscriber } from "./shared-subscriptions.ts";
import type { Store } from "./store.ts";
import type { Stream } from "./stream.ts";
import type { RouteTarget } from "./subscription-tree.ts";

/** What became of a publish. */
export const PublishOutcome = { accepted: 0, noSubscribers: 1, hold: 2, refused: 3 } as const;
export type PublishOutcome = (typeof PublishOutcome)[keyof typeof PublishOutcome];

/** What takes messages, and how much of it. */
export class PublishRoom {
  readonly #store: Store;
  readonly #fanOut: FanOut;
  readonly #retained: RetainedMessages;
  readonly #queues: Queues;
  readonly #isRejecting: boolean;

  constructor(
    store: Store,
    fanOut: FanOut,
    retained: RetainedMessages,
    queues: Queues,
    { backlogWhenFull }: OutboundLimits,
  ) {
    this.#store = store;
    this.#fanOut = fanOut;
    this.#retained = retained;
    this.#queues = queues;
    this.#isRejecting = backlogWhenFull === "reject";
  }

  /** This message is nothing without the disk. Hot path: per message that is not QoS 0 to those who listen alone. */
  needsStore(
    message: Message,
    publisher: Session | undefined,
    route: readonly RouteTarget<TreeSubscriber>[],
    stream: Stream | undefined,
  ): boolean {
    return (
      stream !== undefined ||
      message.retain ||
      this.#queues.takes(message.topic) ||
      (message.qos === 2 && publisher?.isDurable === true) ||
      (message.qos > 0 && hasDurable(route))
    );
  }

  /** `accepted`: there is room for it; `hold`: not just now; `refused`: not. */
  refusal(
    message: Message,
    stream: Stream | undefined,
    route: readonly RouteTarget<TreeSubscriber>[],
    publisher: Session | undefined,
  ): PublishOutcome {
    const refusal = this.#store.refusal();
    if (refusal === "pending-full" || this.#fanOut.isFull) {
      return PublishOutcome.hold;
    }
    if (refusal !== undefined || stream?.isFull === true) return PublishOutcome.refused;
    if (this.#queues.of(message.topic).some((queue) => queue.isFull)) return PublishOutcome.refused;
    if (message.retain && !this.#retained.hasRoom(message, publisher?.principal))
      return PublishOutcome.refused;
    if (message.qos > 0 && this.#wouldDrop(route, publisher)) return PublishOutcome.refused;
    return PublishOutcome.accepted;
  }

  /** A durable session on the route is to refuse messages and is full. Hot path: per durable message. */
  #wouldDrop(
    route: readonly RouteTarget<TreeSubscriber>[],
    publisher: Session | undefined,
  ): boolean {
    if (!this.#isRejecting) return false;
    for (const { qos, ownQos, subscriber } of route) {
      const granted = subscriber === publisher ? ownQos : qos;
      const backlog = subscriber.kind === "shared" ? subscriber : subscriber.outbound;
      if (granted > 0 && backlog.refuses) return true;
    }
    return false;
  }
}

/** Somebody on this route is to find the message on disk. Hot path: per message with QoS above 0. */
export function hasDurable(route: readonly RouteTarget<TreeSubscriber>[]): boolean {
  for (const target of route) {
    if (target.qos > 0 && target.subscriber.isDurable) return true;
  }
  return false;
}
