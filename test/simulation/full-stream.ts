/** A small stream that refuses when it is full: appended to by topic, by name and by native clients, read by one durable consumer behind which it is trimmed. */
import assert from "node:assert/strict";
import type { Consumer } from "../../src/broker/consumer.ts";
import type { Stream } from "../../src/broker/stream.ts";
import { ProtocolVersion } from "../../src/mqtt/packet.ts";
import { messageOf } from "./direct-part.ts";
import type { Ledger } from "./ledger.ts";
import { type Devices, MqttPeer, NOTHING } from "./mqtt-peer.ts";
import type { NativeLine } from "./native-line.ts";
import { payloadBytes, type Stage, type Step } from "./stage.ts";

const TANK = "tank";
const RECORDS_MAX = 6;
const VISIBILITY_MS = 500;
const QUOTA_EXCEEDED = 0x97;
const SENDING_MAX = 10;

/** The stream as the configuration has it. */
export const TANK_STREAM = {
  name: TANK,
  filters: [`${TANK}/#`],
  bytesMax: 1e9,
  messagesMax: RECORDS_MAX,
  whenFull: "reject",
} as const;

export class FullStream implements Devices {
  refused = 0;
  readonly peers: readonly MqttPeer[];
  readonly steps: readonly Step[];
  readonly #stage: Stage;
  readonly #ledger: Ledger;
  readonly #lines: () => readonly NativeLine[];
  readonly #publisher: MqttPeer;

  constructor(stage: Stage, ledger: Ledger, lines: () => readonly NativeLine[]) {
    this.#stage = stage;
    this.#ledger = ledger;
    this.#lines = lines;
    this.#publisher = new MqttPeer(stage, "w0", ProtocolVersion.v5, [], {
      ...NOTHING,
      arriving: ({ payload }) => ledger.offer(Buffer.from(payload).toString(), false),
      acknowledged: ({ payload }, reasonCode) => {
        const text = Buffer.from(payload).toString();
        if (reasonCode < 0x80) ledger.acknowledged(text);
        else {
          assert.equal(reasonCode, QUOTA_EXCEEDED, `${text}: PUBACK`);
          this.#onRefused(text);
        }
      },
    });
    this.peers = [this.#publisher];
    this.steps = [
      [6, "tank-publish", () => this.#publish()],
      [3, "tank-append", () => this.#append()],
      [6, "tank-direct", () => this.#appendDirectly()],
      [2, "tank-take", () => this.#take(1 + stage.below(4))],
      [4, "tank-settle", () => this.#settle()],
    ];
  }

  /** Makes what reads it. */
  start(): void {
    void this.#consumer;
  }

  get isDone(): boolean {
    return this.#consumer.deliveries.size === 0;
  }

  onJudged(): void {
    // The ledger is told as things happen.
  }

  checkBounds(): void {
    assert.ok(this.#records <= RECORDS_MAX, `${this.#records} records in ${TANK}`);
  }

  onCrash(): void {
    // The ledger forgets what was in hands.
  }

  drain(): void {
    this.#take(100);
    for (const held of [...this.#ledger.held]) {
      this.#ledger.settle(held, (delivery) => held.deliveries.ack([delivery]), true);
    }
  }

  check(): void {
    // The ledger checks that all has come.
  }

  get #stream(): Stream {
    const stream = this.#stage.node.broker.streams.get(TANK);
    assert.ok(stream !== undefined);
    return stream;
  }

  get #records(): number {
    const { store } = this.#stage.node;
    const { log } = this.#stream;
    return store.nextSequence(log) - store.stats(log).firstSequence;
  }

  get #consumer(): Consumer {
    const { consumers } = this.#stage.node.broker;
    const known = consumers.get(this.#stream, "tank-reader");
    if (known !== undefined) return known;
    const limits = { ackWaitMs: VISIBILITY_MS, unackedMax: 50, deliveriesMax: 0 };
    const settings = { stream: TANK, name: "tank-reader", ...limits };
    const made = consumers.create(this.#stream, settings, { at: "first" });
    assert.ok(made !== undefined);
    return made;
  }

  #publish(): void {
    const stage = this.#stage;
    const peer = this.#publisher;
    if (!peer.isConnected || peer.sendingSize >= SENDING_MAX) return;
    peer.publish(stage.pick([`${TANK}/a`, `$stream/${TANK}`]), stage.payload("w"), { qos: 1 });
  }

  #append(): void {
    const line = this.#stage.pick(this.#lines());
    if (line === undefined || line.isBusy) return;
    const payload = this.#stage.payload("w");
    line.ask(
      { op: "append", stream: TANK, messages: [{ payload: payloadBytes(payload) }] },
      {
        arrived: () => this.#ledger.offer(payload, false),
        answered: (answer) => {
          if (answer.op !== "error") {
            this.#ledger.acknowledged(payload);
            return;
          }
          const isKnown = answer["code"] === "full" || answer["code"] === "held";
          assert.ok(isKnown, `append: ${JSON.stringify(answer)}`);
          this.#onRefused(payload);
        },
      },
    );
  }

  /** Without any protocol: it is refused exactly when it is full. */
  #appendDirectly(): void {
    const { node } = this.#stage;
    if (node.store.refusal() !== undefined) return;
    const payload = this.#stage.payload("w");
    const message = messageOf(node, TANK, payload);
    const isFull = this.#records >= RECORDS_MAX;
    const result = this.#stream.appendAll([{ message, messageId: undefined }], undefined, node.now);
    assert.equal(result.isTaken, !isFull, `${payload} with ${this.#records} in ${TANK}`);
    if (result.isTaken) this.#ledger.put(payload, result.commit);
    else this.#onRefused(payload);
  }

  #onRefused(payload: string): void {
    this.refused++;
    this.#ledger.refused(payload);
  }

  #take(room: number): void {
    this.#ledger.take(this.#consumer.deliveries, "tank-reader", room, VISIBILITY_MS);
  }

  #settle(): void {
    const held = this.#stage.pick(this.#ledger.held);
    if (held === undefined) return;
    const isDone = this.#stage.chance(0.7);
    this.#ledger.settle(
      held,
      (delivery) =>
        isDone ? held.deliveries.ack([delivery]) : held.deliveries.reject([delivery], 0),
      isDone,
    );
  }
}
