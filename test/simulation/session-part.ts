/** MQTT clients of a simulated world that keep their sessions: publishers, and durable subscribers that must get what was acknowledged. */
import assert from "node:assert/strict";
import type { QoS } from "../../src/broker/message.ts";
import { ProtocolVersion } from "../../src/mqtt/packet.ts";
import { ModelClient } from "../support/model-client.ts";
import type { Stage, Step } from "./stage.ts";

const SENDING_MAX = 20;

/** What was published for the durable subscribers. */
interface Published {
  readonly payload: string;
  readonly qos: QoS;
  readonly isAcknowledged: () => boolean;
}

/** Who wants to know what became of a publish. */
export interface Interest {
  /** It is on its way: with QoS 1 it may come several times. */
  offered(payload: string, topic: string, qos: QoS): void;
  acknowledged(payload: string): void;
  /** It is about to arrive at the broker, perhaps once more. */
  arriving?(payload: string, topic: string, qos: QoS, publisherId: string): void;
}

/** What is published under a first level. */
export interface Kind {
  readonly level: string;
  readonly interest: Interest | undefined;
  /** What it is published with. */
  readonly qualities: readonly QoS[];
}

export class SessionPart {
  published = 0;
  readonly steps: readonly Step[];
  readonly #stage: Stage;
  readonly #kinds: readonly Kind[];
  readonly #publishers: readonly ModelClient[];
  readonly #subscribers: readonly ModelClient[];
  readonly #promised: { payload: string; publisher: ModelClient; interest: Interest }[] = [];
  readonly #published: Published[] = [];

  constructor(stage: Stage, kinds: readonly Kind[]) {
    this.#stage = stage;
    this.#kinds = kinds;
    const client = (clientId: string, filters: { topicFilter: string; qos: QoS }[]): ModelClient =>
      new ModelClient(stage.node, {
        clientId,
        version: stage.chance(0.5) ? ProtocolVersion.v5 : ProtocolVersion.v311,
        receiveMaximum: 65_535,
        cleanStart: false,
        filters,
        onArriving: (topic, payload, qos) => {
          const [level] = topic.split("/");
          const kind = kinds.find((one) => one.level === level);
          kind?.interest?.arriving?.(payload, topic, qos, clientId);
        },
      });
    this.#publishers = [client("p0", []), client("p1", [])];
    this.#subscribers = [
      client("s0", [{ topicFilter: "t/#", qos: 2 }]),
      client("s1", [{ topicFilter: "t/+", qos: 1 }]),
    ];
    this.steps = [
      [20, "publish", () => this.#publish()],
      [22, "network", () => this.network(1 + stage.below(5))],
      [2, "connection", () => this.#break()],
      [4, "reconnect", () => this.connectAll()],
    ];
  }

  get isAtRest(): boolean {
    return this.#clients.every((client) => client.isQuiet && client.sendingSize === 0);
  }

  /** What publishers send may be handled later than it comes. */
  get isHeld(): boolean {
    const isFull = this.#stage.node.store.refusal() !== undefined;
    return isFull || this.#publishers.some((publisher) => publisher.isHeld);
  }

  get #clients(): ModelClient[] {
    return [...this.#publishers, ...this.#subscribers];
  }

  connectAll(): void {
    for (const client of this.#clients) if (!client.hasNetwork) client.connect();
  }

  network(count: number): void {
    const { hasFaults } = this.#stage;
    const clients = hasFaults ? [this.#stage.pick(this.#clients)] : this.#clients;
    for (const client of clients) {
      if (!hasFaults || this.#stage.chance(0.5)) client.out(count);
      if (!hasFaults || this.#stage.chance(0.5)) client.in(count);
    }
  }

  /** What was published in another way must reach the durable subscribers once it is acknowledged. */
  expect(payload: string, isAcknowledged: () => boolean): void {
    this.#published.push({ payload, qos: 1, isAcknowledged });
  }

  /**
   * What publishers were told is acknowledged must come out of queues and streams. What they were not told may come out, too: a message
   * whose acknowledgement was lost; so it is known from its publication on.
   */
  judge(): void {
    for (const client of this.#clients) client.collect();
    for (let i = this.#promised.length - 1; i >= 0; i--) {
      const promised = this.#promised[i];
      if (promised?.publisher.acknowledged.has(promised.payload) !== true) continue;
      promised.interest.acknowledged(promised.payload);
      this.#promised.splice(i, 1);
    }
  }

  crashed(): void {
    for (const client of this.#clients) client.brokerCrashed();
  }

  check(): void {
    for (const subscriber of this.#subscribers) this.#checkSession(subscriber);
  }

  #publish(): void {
    const stage = this.#stage;
    const publisher = stage.pick(this.#publishers);
    if (!publisher.isConnected || publisher.sendingSize >= SENDING_MAX) return;
    const { level, interest, qualities } = stage.pick(this.#kinds);
    const qos = stage.pick(qualities);
    const payload = stage.payload("m");
    const topic = `${level}/${stage.below(3)}`;
    publisher.publish(topic, payload, qos);
    this.published++;
    if (interest === undefined) {
      const isAcknowledged = (): boolean => publisher.acknowledged.has(payload);
      this.#published.push({ payload, qos, isAcknowledged });
    } else {
      interest.offered(payload, topic, qos);
      if (qos > 0) this.#promised.push({ payload, publisher, interest });
    }
  }

  #break(): void {
    const client = this.#stage.pick(this.#clients);
    if (this.#stage.chance(0.5)) client.lose();
    else client.connect();
  }

  #checkSession(subscriber: ModelClient): void {
    const counts = new Map<string, number>();
    for (const { payload } of subscriber.deliveries) {
      counts.set(payload, (counts.get(payload) ?? 0) + 1);
    }
    for (const { payload, isAcknowledged, qos } of this.#published) {
      const count = counts.get(payload) ?? 0;
      const what = `${subscriber.options.clientId}: ${payload} came ${count} times`;
      if (isAcknowledged()) assert.ok(count > 0, what);
      if (qos === 2 && subscriber.options.clientId === "s0") assert.ok(count <= 1, what);
    }
  }
}
