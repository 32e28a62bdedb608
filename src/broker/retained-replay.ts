import type { Message, QoS } from "./message.ts";
import type { Topic } from "./topic.ts";

/**
 * The retained messages that a new subscription gets, paced by the session's window: a list of topics, of which each is
 * looked up when its turn comes, so that current values are sent and deleted ones are not.
 */
export class RetainedReplay {
  /** Granted QoS of the subscription. */
  readonly qos: QoS;
  readonly subscriptionIds: readonly number[] | undefined;
  readonly #topics: readonly Topic[];
  readonly #lookUp: (topic: Topic) => Message | undefined;
  readonly #onDone: () => void;
  #index = 0;
  #unsettled = 0;
  #isDone = false;

  /** `onDone` is called once when everything is sent and acknowledged. */
  constructor(
    topics: readonly Topic[],
    qos: QoS,
    subscriptionIds: readonly number[] | undefined,
    lookUp: (topic: Topic) => Message | undefined,
    onDone: () => void,
  ) {
    this.#topics = topics;
    this.qos = qos;
    this.subscriptionIds = subscriptionIds;
    this.#lookUp = lookUp;
    this.#onDone = onDone;
  }

  get isAtEnd(): boolean {
    return this.#index >= this.#topics.length;
  }

  /** The next retained message that is still there; undefined at the end. */
  next(): Message | undefined {
    while (this.#index < this.#topics.length) {
      const topic = this.#topics[this.#index++];
      const message = topic === undefined ? undefined : this.#lookUp(topic);
      if (message !== undefined) return message;
    }
    return undefined;
  }

  onSent(): void {
    this.#unsettled++;
  }

  onSettled(): void {
    this.#unsettled--;
    this.checkDone();
  }

  /** Tells whom it concerns when all is sent and settled. */
  checkDone(): void {
    if (this.#isDone || this.#unsettled > 0 || !this.isAtEnd) return;
    this.#isDone = true;
    this.#onDone();
  }
}
