/**
 * MQTT devices that work off a queue: publishers whose topics go into it by its filters, or by its name, and consumers that subscribe to it, alone and
 * through a shared subscription. The queue and its dead letter queue are small, so that they refuse; some messages expire, some come after a delay.
 */
import assert from "node:assert/strict";
import type { Queue } from "../../src/broker/queue.ts";
import { ProtocolVersion } from "../../src/mqtt/packet.ts";
import type { Received } from "../support/virtual-client.ts";
import type { Ledger } from "./ledger.ts";
import { type Devices, MqttPeer, NOTHING } from "./mqtt-peer.ts";
import type { Answer, NativeLine } from "./native-line.ts";
import { QueueOrder } from "./queue-order.ts";
import { payloadBytes, type Stage, type Step } from "./stage.ts";

const ORDERS = "orders";
const DEAD = "orders-dead";
const DELIVERIES_MAX = 3;
const MESSAGES_MAX: Readonly<Record<string, number>> = { [ORDERS]: 12, [DEAD]: 4 };
const QUOTA_EXCEEDED = 0x97;
const SENDING_MAX = 10;
/** Time goes on by so much until it is looked at what was written meanwhile. */
export const TIME_STEP_MS = 25;

/** The queues as the configuration has them. */
export const ORDER_QUEUES = [
  {
    name: ORDERS,
    filters: ["orders/#"],
    messagesMax: MESSAGES_MAX[ORDERS] ?? 0,
    deliveriesMax: DELIVERIES_MAX,
    deadLetterQueue: DEAD,
  },
  { name: DEAD, messagesMax: MESSAGES_MAX[DEAD] ?? 0 },
];

/** A message in the hands of a device. */
interface Hand {
  readonly peer: MqttPeer;
  readonly message: Received;
  readonly queue: string;
  /** The client knows that it has it. */
  isRead: boolean;
  isAcked: boolean;
}

/** How long a message is good. */
interface Expiry {
  /** Undefined: that depends on when a publisher that was held was handled. */
  readonly at: number | undefined;
}

/** How a consumer takes part. */
interface Consuming {
  readonly queue: string;
  readonly filter: string;
  readonly version: ProtocolVersion;
  /** With MQTT 5. */
  readonly receiveMaximum: number;
  /** How likely it acknowledges what it reads at once. */
  readonly ackShare: number;
}

export class QueueDevices implements Devices {
  /** Messages that were offered, that expired or were delivered too often, and that were refused. */
  offered = 0;
  givenUp = 0;
  refused = 0;
  readonly peers: readonly MqttPeer[];
  readonly steps: readonly Step[];
  readonly #stage: Stage;
  readonly #ledger: Ledger;
  readonly #lines: () => readonly NativeLine[];
  readonly #publisher: MqttPeer;
  readonly #order: QueueOrder;
  readonly #expiries = new Map<string, Expiry>();
  #hands: Hand[] = [];
  /** What came since the last look and can expire, and whether whoever sent it is handled later. */
  #fresh: (readonly [payload: string, isHandledLater: () => boolean])[] = [];

  constructor(stage: Stage, ledger: Ledger, lines: () => readonly NativeLine[]) {
    this.#stage = stage;
    this.#ledger = ledger;
    this.#lines = lines;
    ledger.deliveriesMax.set(ORDERS, DELIVERIES_MAX);
    this.#order = new QueueOrder(DELIVERIES_MAX, (payload) => this.#mayHaveExpired(payload));
    const { v5, v311 } = ProtocolVersion;
    this.#publisher = this.#createPublisher();
    const own = { queue: ORDERS, ackShare: 0.5, version: v5 };
    const dead = { queue: DEAD, receiveMaximum: 0, ackShare: 0.05, version: v311 };
    this.peers = [
      this.#publisher,
      this.#consumer("c0", { ...own, filter: `$queue/${ORDERS}`, receiveMaximum: 3 }),
      this.#consumer("c1", { ...own, filter: `$share/any/$queue/${ORDERS}`, receiveMaximum: 2 }),
      this.#consumer("c2", { ...dead, filter: `$queue/${DEAD}` }),
    ];
    this.steps = [
      [10, "order-publish", () => this.#publish()],
      [4, "order-send", () => this.#send()],
      [5, "order-ack", () => this.#ackSome()],
      [1.5, "order-consumer-break", () => stage.pick(this.peers.slice(1, 3)).lose()],
    ];
  }

  get isDone(): boolean {
    return this.#queue(ORDERS).messages + this.#queue(DEAD).messages === 0;
  }

  onJudged(): void {
    for (const [payload, isHandledLater] of this.#fresh) {
      if (isHandledLater()) this.#expiries.set(payload, { at: undefined });
    }
    this.#fresh = [];
    this.#order.judge();
  }

  checkBounds(): void {
    for (const name of [ORDERS, DEAD]) {
      const { messages } = this.#queue(name);
      assert.ok(messages <= (MESSAGES_MAX[name] ?? 0), `${messages} messages in ${name}`);
    }
  }

  onCrash(): void {
    this.#hands = [];
    this.#order.forget();
  }

  drain(): void {
    for (const hand of this.#hands) if (hand.isRead && !hand.isAcked) this.#ack(hand);
  }

  check(): void {
    assert.equal(this.#hands.length, 0, "devices still have something in hands");
  }

  #queue(name: string): Queue {
    const queue = this.#stage.node.broker.queues.get(name);
    assert.ok(queue !== undefined);
    return queue;
  }

  #createPublisher(): MqttPeer {
    const peer: MqttPeer = new MqttPeer(this.#stage, "o0", ProtocolVersion.v5, [], {
      ...NOTHING,
      arriving: ({ payload, properties }) => {
        const seconds = properties?.messageExpirySeconds;
        const expiryMs = seconds === undefined ? undefined : seconds * 1_000;
        const text = Buffer.from(payload).toString();
        this.#offered(text, 0, expiryMs, () => peer.isHeld);
      },
      acknowledged: ({ payload }, reasonCode) => {
        const text = Buffer.from(payload).toString();
        if (reasonCode < 0x80) this.#ledger.acknowledged(text);
        else {
          assert.equal(reasonCode, QUOTA_EXCEEDED, `${text}: PUBACK`);
          this.#refused(text);
        }
      },
    });
    return peer;
  }

  #consumer(
    clientId: string,
    { queue, filter, version, receiveMaximum, ackShare }: Consuming,
  ): MqttPeer {
    const peer: MqttPeer = new MqttPeer(
      this.#stage,
      clientId,
      version,
      [filter],
      {
        ...NOTHING,
        written: (message) => {
          const hand = { peer, message, queue, isRead: false, isAcked: false };
          this.#take(hand);
          const own = this.#hands.filter((one) => one.peer === peer).length;
          const isWithin = version !== ProtocolVersion.v5 || own <= receiveMaximum;
          assert.ok(isWithin, `${clientId} has ${own} in hands`);
        },
        read: (message) => {
          const hand = this.#hands.find((one) => one.message === message);
          if (hand === undefined) return;
          hand.isRead = true;
          if (this.#stage.chance(ackShare)) this.#ack(hand);
        },
        acking: (message) => this.#settled(message),
        over: () => {
          const own = this.#hands.filter((one) => one.peer === peer);
          this.#hands = this.#hands.filter((one) => one.peer !== peer);
          for (const hand of own) {
            this.#ledger.freed(hand.message.payload, hand);
            this.#order.freed(hand.message.payload);
          }
        },
      },
      { qos: 1, receiveMaximum },
    );
    return peer;
  }

  #take(hand: Hand): void {
    const { queue, message } = hand;
    const { payload, properties, qos } = message;
    const at = this.#stage.now;
    const own = new Map(properties.userProperties);
    const count = own.get("rill-delivery-count");
    const deliveryCount = count === undefined ? undefined : Number(count);
    assert.equal(qos, 1, `${payload} can be acknowledged`);
    const visibleAt = Number.POSITIVE_INFINITY;
    this.#ledger.handedOut({ payload, where: queue, deliveryCount, visibleAt, at, hand });
    this.#hands.push(hand);
    if (queue === DEAD) {
      this.givenUp++;
      const isDue = this.#order.isExhausted(payload) || this.#mayHaveExpired(payload);
      assert.ok(isDue, `${payload} is a dead letter without a reason`);
      return;
    }
    const expiresAt = this.#expiries.get(payload)?.at ?? Number.POSITIVE_INFINITY;
    // It may have been written when time had come only so far.
    assert.ok(at < expiresAt + TIME_STEP_MS, `${payload} was handed out when it had expired`);
    this.#order.handedOut(payload, own.get("rill-sequence"), deliveryCount === 1);
  }

  #mayHaveExpired(payload: string): boolean {
    const expiry = this.#expiries.get(payload);
    return expiry !== undefined && (expiry.at ?? 0) <= this.#stage.now;
  }

  /** A PUBACK arrives: nothing tells the device that it counted. */
  #settled(message: Received): void {
    const hand = this.#hands.find((one) => one.message === message);
    if (hand === undefined) return;
    this.#hands.splice(this.#hands.indexOf(hand), 1);
    this.#ledger.settledWith(message.payload, hand, this.#stage.node.store.openCommit);
    if (hand.queue === ORDERS) this.#order.settled(message.payload);
  }

  #ack(hand: Hand): void {
    hand.isAcked = true;
    hand.peer.ack(hand.message);
  }

  #ackSome(): void {
    const hand = this.#stage.pick(
      this.#hands.filter(({ isRead, isAcked, queue }) => {
        return isRead && !isAcked && (queue === ORDERS || this.#stage.chance(0.3));
      }),
    );
    if (hand !== undefined) this.#ack(hand);
  }

  #offered(
    payload: string,
    delayMs: number,
    expiryMs: number | undefined,
    isHandledLater: () => boolean,
  ): void {
    const { now } = this.#stage;
    this.offered++;
    this.#ledger.offer(payload, false, delayMs === 0 ? 0 : now + delayMs);
    if (expiryMs === undefined) return;
    this.#expiries.set(payload, { at: isHandledLater() ? undefined : now + expiryMs });
    this.#fresh.push([payload, isHandledLater]);
  }

  #refused(payload: string): void {
    this.refused++;
    this.#ledger.refused(payload);
  }

  /** By the topics that the queue has, and by its name. */
  #publish(): void {
    const stage = this.#stage;
    const peer = this.#publisher;
    if (!peer.isConnected || peer.sendingSize >= SENDING_MAX) return;
    const topic = stage.pick([`orders/${stage.below(3)}`, `$queue/${ORDERS}`]);
    const properties = stage.chance(0.3) ? { messageExpirySeconds: 1 + stage.below(2) } : {};
    peer.publish(topic, stage.payload("o"), { qos: 1, properties });
  }

  #send(): void {
    const stage = this.#stage;
    const line = stage.pick(this.#lines());
    if (line === undefined || line.isBusy) return;
    const payloads = Array.from({ length: 1 + stage.below(3) }, () => stage.payload("o"));
    const delayMs = stage.chance(0.4) ? stage.below(1_000) : 0;
    const expiryMs = stage.chance(0.4) ? 1 + stage.below(1_500) : undefined;
    const messages = payloads.map((payload) => ({
      payload: payloadBytes(payload),
      ...(delayMs === 0 ? {} : { delayMs }),
      ...(expiryMs === undefined ? {} : { expiryMs }),
    }));
    line.ask(
      { op: "send", queue: ORDERS, messages },
      {
        arrived: () => {
          for (const one of payloads) {
            this.#offered(one, delayMs, expiryMs, () => line.isBlocked);
          }
        },
        answered: (answer) => this.#onSent(payloads, answer),
      },
    );
  }

  #onSent(payloads: readonly string[], answer: Answer): void {
    if (answer.op !== "error") {
      for (const payload of payloads) this.#ledger.acknowledged(payload);
      return;
    }
    const isKnown = answer["code"] === "full" || answer["code"] === "held";
    assert.ok(isKnown, `send: ${JSON.stringify(answer)}`);
    for (const payload of payloads) this.#refused(payload);
  }
}
