/** What was sent to queues and what became of it, over the deaths of the broker. A payload names its message. */
import type { Delivery } from "../../../src/native/frame.ts";

/** A time that was asked for may seem so much shorter, in milliseconds: clocks are read in two processes. */
const CLOCK_SLACK_MS = 5;

/** One message, by its payload. */
interface Known {
  /** It was answered, or is repeated until it is: it must come. */
  isPromised: boolean;
  /** Sends and moves that were asked for and did not show as a copy yet. */
  movesOpen: number;
  /** The copy that lives, as far as is known: queue and sequence. */
  copy: string | undefined;
  /** Copies that are settled or moved. */
  readonly gone: Set<string>;
  /** The delivery with which it was acknowledged, answered. */
  endedBy: number | undefined;
  /** Deliveries whose ack was sent and not answered. */
  readonly acks: Set<number>;
  hasCome: boolean;
  /** Not to be delivered before, in milliseconds since 1970. */
  notBefore: number;
}

/** How far a receiver came in a queue among messages that are delivered for the first time. */
export type FirstDeliveries = Map<string, number>;

export type Settling = "ack" | "move" | "give up" | "keep";

/** Finds everything that is lost, comes back, is doubled, comes too early or out of order. */
export class QueueLedger {
  readonly faults: string[] = [];
  sent = 0;
  promised = 0;
  delivered = 0;
  settled = 0;
  deadLetters = 0;
  repeated = 0;
  readonly #known = new Map<string, Known>();
  /** Messages that were sent together, without identifiers, and not answered. */
  readonly #torn: (readonly string[])[] = [];

  /** Promised, and an acknowledgement was sent whose answer has not come: after a kill nobody knows. */
  readonly #doubtful = new Set<string>();

  /** Promised, not settled, and not in doubt. */
  get owed(): number {
    return this.promised - this.settled - this.#doubtful.size;
  }

  send(payload: string): void {
    this.sent++;
    this.#known.set(payload, {
      isPromised: false,
      movesOpen: 0,
      copy: undefined,
      gone: new Set(),
      endedBy: undefined,
      acks: new Set(),
      hasCome: false,
      notBefore: 0,
    });
  }

  /** The send was answered. */
  answer(payload: string, notBefore: number, isDuplicate: boolean): void {
    const known = this.#of(payload);
    if (isDuplicate) this.repeated++;
    if (!known.isPromised) this.promised++;
    known.isPromised = true;
    if (known.acks.size > 0 && known.endedBy === undefined) this.#doubtful.add(payload);
    // What was taken before has its time from then.
    if (!isDuplicate && !known.hasCome) known.notBefore = notBefore;
  }

  /** A send was not answered and is not repeated: all of it came to be, or nothing. */
  abandon(payloads: readonly string[]): void {
    this.#torn.push(payloads);
  }

  /** Checks a delivery. `order` is the receiver's, one for each connection. */
  arrive(queue: string, payload: string, delivery: Delivery, order: FirstDeliveries): void {
    this.delivered++;
    const { sequence, deliveryCount } = delivery;
    const key = `${queue}/${sequence}`;
    const known = this.#known.get(payload);
    if (known === undefined) {
      this.#fault(`${payload} was never sent`);
      return;
    }
    const isSame = key === known.copy && delivery.delivery === known.endedBy;
    if (known.endedBy !== undefined && !isSame) this.#fault(`${payload} came back as ${key}`);
    if (known.gone.has(key)) this.#fault(`${payload} came back as ${key}, which was moved`);
    if (known.copy !== key) this.#enterCopy(known, key, payload, delivery);
    else known.movesOpen = 0;
    if (Date.now() < known.notBefore - CLOCK_SLACK_MS) {
      this.#fault(`${payload} came ${known.notBefore - Date.now()} ms too early`);
    }
    known.notBefore = 0;
    known.hasCome = true;
    // Whatever was sent to settle an earlier delivery came too late.
    known.acks.clear();
    this.#doubtful.delete(payload);
    if (deliveryCount > 1) return;
    const last = order.get(queue) ?? 0;
    if (sequence <= last) this.#fault(`${payload} came as ${key} behind ${last}`);
    order.set(queue, sequence);
  }

  /** A delivery is to be settled. */
  ask(payload: string, how: Settling, delivery: number): void {
    const known = this.#of(payload);
    if (how === "ack") {
      known.acks.add(delivery);
      if (known.isPromised && known.endedBy === undefined) this.#doubtful.add(payload);
    }
    if (how === "move") known.movesOpen = 1;
  }

  /** It was answered; `delivery` was the one. */
  settle(payload: string, key: string, how: Settling, delivery: number, notBefore = 0): void {
    const known = this.#of(payload);
    // Where it went may have come already.
    if (known.copy === key) known.notBefore = notBefore;
    if (how === "ack") {
      if (known.endedBy === undefined) this.settled++;
      known.endedBy = delivery;
      this.#doubtful.delete(payload);
      // It was there to be settled, whatever became of the answer to its sender.
      if (!known.isPromised) this.promised++;
      known.isPromised = true;
    } else if (how !== "keep") {
      known.gone.add(key);
      if (known.copy === key) known.movesOpen = 1;
    }
    if (how === "give up") this.deadLetters++;
  }

  /** The delivery was in other hands or over: nothing was done. */
  refuse(payload: string, how: Settling, delivery: number): void {
    const known = this.#of(payload);
    known.acks.delete(delivery);
    if (known.acks.size === 0) this.#doubtful.delete(payload);
    if (how === "move") known.movesOpen = 0;
  }

  /** What must still come. */
  missing(): string[] {
    const missing: string[] = [];
    for (const [payload, { isPromised, endedBy, acks }] of this.#known) {
      if (isPromised && endedBy === undefined && acks.size === 0) missing.push(payload);
    }
    return missing;
  }

  /** At the end, when all queues are empty. */
  close(): void {
    for (const payload of this.missing()) this.#fault(`${payload} is lost`);
    for (const payloads of this.#torn) {
      const come = payloads.filter((payload) => this.#of(payload).hasCome).length;
      if (come !== 0 && come !== payloads.length) {
        this.#fault(`${come} of ${payloads.join(" ")} were taken`);
      }
    }
  }

  #enterCopy(known: Known, key: string, payload: string, { reroutedFrom }: Delivery): void {
    if (known.copy !== undefined) {
      // Moved by a receiver, or given up by its queue.
      if (known.movesOpen === 0 && reroutedFrom === undefined) {
        this.#fault(`${payload} is there twice: ${known.copy} and ${key}`);
      }
      known.gone.add(known.copy);
    }
    known.movesOpen = 0;
    known.copy = key;
  }

  #of(payload: string): Known {
    const known = this.#known.get(payload);
    if (known === undefined) throw new Error(`${payload} is not known`);
    return known;
  }

  #fault(what: string): void {
    this.faults.push(what);
  }
}
