/** What a simulated world does to a queue and a stream without any protocol: send, append, take, settle. */
import assert from "node:assert/strict";
import type { Consumer } from "../../src/broker/consumer.ts";
import { type Message, plainMessage } from "../../src/broker/message.ts";
import type { Queue } from "../../src/broker/queue.ts";
import type { SendOptions } from "../../src/broker/queues.ts";
import type { Stream } from "../../src/broker/stream.ts";
import type { VirtualNode } from "../support/virtual-node.ts";
import type { Ledger } from "./ledger.ts";
import type { Stage, Step } from "./stage.ts";

const VISIBILITY_MS = 500;
const DELIVERIES_MAX = 4;

export class DirectPart {
  queued = 0;
  appended = 0;
  readonly steps: readonly Step[];
  readonly #stage: Stage;
  readonly #queueLedger: Ledger;
  /** Of the consumer that is read here. */
  readonly #streamLedger: Ledger;
  readonly #streamLedgers: readonly Ledger[];
  readonly #streamName: string;

  /** `streamLedgers`: of all consumers of the stream; the first is that of this part. */
  constructor(stage: Stage, queueLedger: Ledger, streamLedgers: readonly Ledger[], stream: string) {
    this.#stage = stage;
    this.#queueLedger = queueLedger;
    this.#queueLedger.deliveriesMax.set("work", DELIVERIES_MAX);
    this.#streamLedgers = streamLedgers;
    this.#streamLedger = streamLedgers[0] as Ledger;
    this.#streamName = stream;
    this.steps = [
      [10, "send", () => this.#send()],
      [6, "append", () => this.#append()],
      [6, "take", () => this.#take(1 + stage.below(5))],
      [10, "settle", () => this.#settleSome()],
    ];
  }

  get isAtRest(): boolean {
    const { consumers } = this.#stage.node.broker;
    const open = [...consumers.of(this.#stream)].map(({ deliveries }) => deliveries.size);
    return this.#queue.messages + this.#dead.messages + Math.max(0, ...open) === 0;
  }

  get #queue(): Queue {
    return this.#open("work");
  }

  get #dead(): Queue {
    return this.#open("dead");
  }

  get #stream(): Stream {
    const stream = this.#stage.node.broker.streams.get(this.#streamName);
    assert.ok(stream !== undefined);
    return stream;
  }

  get #consumer(): Consumer {
    const { consumers } = this.#stage.node.broker;
    const known = consumers.get(this.#stream, "reader");
    if (known !== undefined) return known;
    const settings = {
      stream: this.#streamName,
      name: "reader",
      ackWaitMs: VISIBILITY_MS,
      unackedMax: 50,
      deliveriesMax: 0,
    };
    const made = consumers.create(this.#stream, settings, { at: "first" });
    assert.ok(made !== undefined);
    return made;
  }

  start(): void {
    const { queues } = this.#stage.node.broker;
    queues.update(this.#queue, {
      ...this.#queue.settings,
      filters: ["q/#"],
      deliveriesMax: DELIVERIES_MAX,
      deadLetterQueue: "dead",
      duplicateWindowMs: 1e9,
    });
    void this.#dead;
    void this.#consumer;
  }

  drain(): void {
    this.#take(100);
    for (const ledger of [this.#queueLedger, this.#streamLedger]) {
      for (const held of [...ledger.held]) this.#ack(ledger, held);
    }
  }

  #open(name: string): Queue {
    const queue = this.#stage.node.broker.queues.open(name);
    assert.ok(queue !== undefined);
    return queue;
  }

  #send(): void {
    const stage = this.#stage;
    if (stage.node.store.refusal() !== undefined) return;
    const payload = stage.payload("d");
    const options: SendOptions = {
      ...(stage.chance(0.3) ? { delayMs: stage.below(400) } : {}),
      ...(stage.chance(0.3) ? { messageId: payload } : {}),
    };
    const { queues } = stage.node.broker;
    const message = messageOf(stage.node, "any", payload);
    const result = queues.send(this.#queue, message, options);
    assert.ok(result.isTaken && !result.isDuplicate);
    this.#queueLedger.put(payload, result.commit, stage.now + (options.delayMs ?? 0));
    this.queued++;
    if (options.messageId === undefined || stage.chance(0.5)) return;
    const again = queues.send(this.#queue, message, options);
    assert.ok(again.isTaken && again.isDuplicate, `${payload} was taken twice`);
  }

  #append(): void {
    const stage = this.#stage;
    const { store } = stage.node;
    if (store.refusal() !== undefined) return;
    const payloads = Array.from({ length: 1 + stage.below(3) }, () => stage.payload("a"));
    const messages = payloads.map((payload) => ({
      message: messageOf(stage.node, "direct", payload),
      messageId: payload,
    }));
    const nextSequence = store.nextSequence(this.#stream.log);
    const result = this.#stream.appendAll(messages, nextSequence, stage.node.now);
    assert.ok(result.isTaken);
    assert.equal(result.sequences[0], nextSequence);
    for (const ledger of this.#streamLedgers) {
      for (const payload of payloads) ledger.put(payload, result.commit);
    }
    this.appended += payloads.length;
  }

  #take(room: number): void {
    this.#queueLedger.take(this.#queue.deliveries, "work", room, VISIBILITY_MS);
    this.#queueLedger.take(this.#dead.deliveries, "dead", room, VISIBILITY_MS);
    this.#streamLedger.take(this.#consumer.deliveries, "reader", room, VISIBILITY_MS);
  }

  #settleSome(): void {
    const stage = this.#stage;
    const ledger = stage.pick([this.#queueLedger, this.#streamLedger]);
    const held = stage.pick(ledger.held);
    if (held === undefined) return;
    const { deliveries } = held;
    const how = stage.random.next();
    if (how < 0.6) this.#ack(ledger, held);
    else if (how < 0.8) {
      const delayMs = stage.chance(0.5) ? stage.below(300) : 0;
      ledger.settle(held, (delivery) => deliveries.reject([delivery], delayMs), false);
    } else if (ledger === this.#queueLedger && deliveries === this.#queue.deliveries) {
      const { queues } = stage.node.broker;
      const delayMs = stage.chance(0.3) ? stage.below(300) : 0;
      ledger.settle(
        held,
        (delivery) => queues.requeue(this.#queue, [delivery], this.#queue, delayMs),
        false,
      );
    } else {
      // Forgotten: it comes back by itself.
      ledger.held.splice(ledger.held.indexOf(held), 1);
    }
  }

  #ack(ledger: Ledger, held: Ledger["held"][number]): void {
    ledger.settle(held, (delivery) => held.deliveries.ack([delivery]), true);
  }
}

/** What is put into a queue or a stream without any protocol. */
export function messageOf({ broker, now }: VirtualNode, topic: string, payload: string): Message {
  const message = plainMessage(broker.topics.of(topic), Buffer.from(payload), now);
  return { ...message, publisherId: "direct" };
}
