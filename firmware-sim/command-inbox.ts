import type { IPublishPacket } from "mqtt";
import { replyTopic, splitTopic } from "./device-topics.ts";

/** An answer on its way to the broker. */
export interface Answer {
  readonly requestId: string;
  readonly topic: string;
  readonly payload: string;
  /** MQTT 5, when the request had it. */
  readonly correlationData: Buffer | undefined;
}

/** What one device knows of its commands. */
export interface InboxView {
  /** Different commands received. */
  readonly received: number;
  /** Further arrivals of a command that had been received: QoS 1 may do that; it is not carried out again. */
  readonly repeated: number;
}

/**
 * The commands of one device, by request id: each is carried out and answered once, however often it arrives. Answers wait here
 * until the device can publish them; the number of its commands is the bound.
 */
export class CommandInbox implements InboxView {
  readonly #device: string;
  readonly #requestIds = new Set<string>();
  readonly #answers: Answer[] = [];
  #repeated = 0;

  constructor(device: string) {
    this.#device = device;
  }

  get received(): number {
    return this.#requestIds.size;
  }

  get repeated(): number {
    return this.#repeated;
  }

  get hasAnswers(): boolean {
    return this.#answers.length > 0;
  }

  /** Takes a message from `cmd/{deviceId}/{requestId}`; anything else is left alone. */
  receive(topic: string, packet: Pick<IPublishPacket, "properties">): void {
    const parts = splitTopic(topic, "cmd");
    if (parts === undefined || parts.device !== this.#device) return;
    const requestId = parts.last;
    if (this.#requestIds.has(requestId)) {
      this.#repeated += 1;
      return;
    }
    this.#requestIds.add(requestId);
    const { responseTopic, correlationData } = packet.properties ?? {};
    this.#answers.push({
      requestId,
      topic: responseTopic ?? replyTopic(this.#device, requestId),
      payload: JSON.stringify({ device: this.#device, requestId, isDone: true }),
      correlationData: responseTopic === undefined ? undefined : correlationData,
    });
  }

  /** Takes the oldest answer out. */
  nextAnswer(): Answer | undefined {
    return this.#answers.shift();
  }

  /** Puts an answer that the broker refused back; it is the next one again. */
  giveBack(answer: Answer): void {
    this.#answers.unshift(answer);
  }
}
