/** One connection's share of a durable consumer: records as there is credit and room, each until it is settled. */
import type { Consumer, ConsumerHolder } from "../broker/consumer.ts";
import type { Settled } from "../broker/deliveries.ts";
import type { LogDelivery, Receiver } from "../broker/delivery-receiver.ts";
import type { SequenceRange } from "../broker/store.ts";
import type { Caller } from "./caller.ts";
import { frameBytes } from "./content.ts";
import type { SettleRecordsFrame, StreamRecord } from "./frame.ts";
import { BATCH_BYTES } from "./queue-receivers.ts";
import { mayRead } from "./rights.ts";
import { streamRecordOf } from "./stream-content.ts";
import type { Sub } from "./subs.ts";

/** Deliveries remembered beyond those that may be unacknowledged: others may have them by now. */
const STALE_MAX = 1_024;

export class ConsumerSub implements Sub, Receiver, ConsumerHolder {
  readonly id: number;
  readonly isGroup: boolean;
  credit: number;
  readonly #caller: Caller;
  readonly #consumer: Consumer;
  /** By sequence, the name of its last delivery here; in order of delivery. */
  readonly #delivered = new Map<number, number>();
  #batch: StreamRecord[] = [];
  #bytes = 0;

  constructor(caller: Caller, id: number, consumer: Consumer, credit: number, isGroup: boolean) {
    this.#caller = caller;
    this.id = id;
    this.#consumer = consumer;
    this.credit = credit;
    this.isGroup = isGroup;
  }

  get room(): number {
    return this.#caller.hasRoom ? this.credit : 0;
  }

  get visibilityMs(): number {
    return this.#consumer.settings.ackWaitMs;
  }

  /** Takes the consumer, alone or with the others of its group. */
  start(): void {
    const { holders, deliveries } = this.#consumer;
    const leaving = [...holders].filter((holder) => !this.isGroup || !holder.isGroup);
    holders.add(this);
    // What is gone with the commit that this waited for is told as lost, not taken for a delivery that failed.
    this.#caller.broker.consumers.passLoss(this.#consumer);
    for (const holder of leaving) holder.stop();
    for (const holder of leaving) holder.onTaken();
    deliveries.addReceiver(this);
    this.pump();
  }

  stop(): void {
    this.#consumer.deliveries.removeReceiver(this);
  }

  /** Hot path: per record. */
  deliver({ delivery, record, deliveryCount }: LogDelivery): void {
    this.credit--;
    this.#delivered.delete(record.sequence);
    this.#delivered.set(record.sequence, delivery);
    if (this.#delivered.size > this.#consumer.settings.unackedMax + STALE_MAX) this.#dropStale();
    this.#batch.push(streamRecordOf(record, this.#caller.broker.clock, deliveryCount));
    this.#bytes += frameBytes(record);
    if (this.#bytes >= BATCH_BYTES) this.onPumped();
  }

  onPumped(): void {
    if (this.#batch.length === 0) return;
    const records = this.#batch;
    this.#batch = [];
    this.#bytes = 0;
    this.#caller.send({ op: "records", sub: this.id, records });
  }

  onForgotten(): void {
    this.#caller.subs.end(this.id, "not-found", "the consumer was deleted");
  }

  onTaken(): void {
    this.#caller.subs.end(this.id, "consumer-taken", "somebody else has this consumer now");
  }

  onLost({ from, to }: SequenceRange): void {
    this.#caller.send({ op: "records", sub: this.id, records: [], lost: [[from, to]] });
  }

  pump(): void {
    if (this.room > 0) this.#consumer.deliveries.pump();
  }

  isAllowed(): boolean {
    return mayRead(this.#caller, "stream", this.#consumer.stream.name);
  }

  /** What it has in hands is free again at once. */
  close(): void {
    const { holders, deliveries } = this.#consumer;
    holders.delete(this);
    deliveries.removeReceiver(this);
    deliveries.release(this);
  }

  /** The sequences that a frame means, of those that were delivered here. */
  meant({ sequences = [], upTo }: SettleRecordsFrame): readonly number[] {
    if (upTo === undefined) return sequences;
    const meant = new Set(sequences);
    for (const sequence of this.#delivered.keys()) if (sequence <= upTo) meant.add(sequence);
    return [...meant];
  }

  /** Settles records; `expired` are sequences that are not in hands here. */
  settle({ op, delayMs = 0 }: SettleRecordsFrame, sequences: readonly number[]): Settled {
    const { deliveries } = this.#consumer;
    const known: number[] = [];
    const expired: number[] = [];
    const bySequence = new Map<number, number>();
    for (const sequence of sequences) {
      const delivery = this.#delivered.get(sequence);
      if (delivery === undefined) expired.push(sequence);
      else {
        known.push(delivery);
        bySequence.set(delivery, sequence);
        this.#delivered.delete(sequence);
      }
    }
    const settled = op === "ack" ? deliveries.ack(known) : deliveries.reject(known, delayMs);
    for (const delivery of settled.expired) expired.push(bySequence.get(delivery) ?? 0);
    // There is room for others among what may be unacknowledged.
    deliveries.pump();
    return { commit: settled.commit, expired };
  }

  #dropStale(): void {
    for (const sequence of this.#delivered.keys()) {
      this.#delivered.delete(sequence);
      return;
    }
  }
}
