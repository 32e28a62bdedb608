import { type Message, type MessageProperties, plainMessage } from "../../src/broker/message.ts";
import type { Requester, RequestFailure, RequestOptions } from "../../src/broker/requests.ts";
import type { Session } from "../../src/broker/session.ts";
import type { Subscriber } from "../../src/broker/subscriber.ts";
import { Topic } from "../../src/broker/topic.ts";
import type { Instant } from "../../src/lib/clock.ts";
import type { VirtualNode } from "./virtual-node.ts";

export function messageOf(
  topic: string,
  payload: string,
  now: Instant,
  properties?: MessageProperties,
): Message {
  return { ...plainMessage(new Topic(topic), Buffer.from(payload), now, properties), qos: 0 };
}

export const textOfMessage = ({ bytes, payloadStart, payloadEnd }: Message): string =>
  Buffer.from(bytes.subarray(payloadStart, payloadEnd)).toString();

/** A connection of another protocol than MQTT, as far as requests go: asks, and answers where it subscribed. */
export class TestRequester implements Requester, Subscriber {
  readonly receiveMaximum = 100;
  hasRoom = true;
  session: Session;
  /** Requests that it takes; below 0: it answers none. */
  room = -1;
  /** What became of its requests, as `tag text`, `tag text (cached)` or `tag failure`. */
  readonly outcomes: string[] = [];
  /** Copies of what was delivered to it. */
  readonly delivered: { topic: string; text: string; message: Message }[] = [];
  readonly #node: VirtualNode;
  readonly #clientId: string;
  #lastTag = 0;

  constructor(node: VirtualNode, clientId: string, principal?: string) {
    this.#node = node;
    this.#clientId = clientId;
    const result = node.broker.connect({
      clientId,
      principal,
      cleanStart: true,
      expiryMs: 0,
      will: undefined,
      subscriber: this,
    });
    if (typeof result === "string") throw new Error(result);
    this.session = result.session;
    this.session.attach(this);
  }

  /** Asks; returns its tag. */
  ask(topic: string, payload: string, options: Partial<RequestOptions> = {}): number {
    const tag = ++this.#lastTag;
    const message = { ...messageOf(topic, payload, this.#node.now), publisherId: this.#clientId };
    this.#node.broker.requests.send(this, tag, message, {
      timeoutMs: 5_000,
      cacheKey: undefined,
      cacheTtlMs: 0,
      ...options,
    });
    this.#node.turn();
    return tag;
  }

  /** Answers what matches, `room` requests at a time. */
  respond(topicFilter: string, room = 1): void {
    this.room = room;
    const options = {
      qos: 0,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 2,
      subscriptionId: undefined,
    } as const;
    this.#node.broker.subscribe(this.session, { filters: [{ topicFilter, options }], results: [] });
  }

  leave(): void {
    this.#node.broker.requests.forget(this);
    this.#node.broker.sessions.disconnect(this.session, this, { sendWill: false });
    this.#node.turn();
  }

  takeOutcomes(): string[] {
    return this.outcomes.splice(0);
  }

  requestRoom(): number {
    return this.room;
  }

  onReply(tag: number, reply: Message, isCached: boolean): void {
    this.outcomes.push(`${tag} ${textOfMessage(reply)}${isCached ? " (cached)" : ""}`);
  }

  onRequestFailed(tag: number, failure: RequestFailure, text: string): void {
    this.outcomes.push(`${tag} ${failure}${failure === "responder-error" ? `: ${text}` : ""}`);
  }

  deliver(message: Message): void {
    const { topic } = message;
    this.delivered.push({
      topic: topic.text,
      text: textOfMessage(message),
      message: { ...message },
    });
  }

  release(): void {}

  end(): void {
    this.leave();
  }
}
