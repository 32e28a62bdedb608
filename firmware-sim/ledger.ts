/** What one device remembers of its own messages; the sink is checked against it. */
export interface LedgerView {
  readonly device: string;
  readonly kind: string;
  readonly qos: 1 | 2;
  /** How many sequence numbers were handed to the MQTT client at least once: exactly 1..published. */
  readonly published: number;
  /** The sequence numbers whose PUBACK (QoS 1) or PUBREC (QoS 2) the device received. */
  readonly acknowledged: ReadonlySet<number>;
}

/**
 * The account book of one device. Sequence numbers count from 1 without gaps. It holds one set member per
 * acknowledged message, so the fleet's total count is its bound.
 */
export class Ledger implements LedgerView {
  readonly device: string;
  readonly kind: string;
  readonly qos: 1 | 2;
  readonly #acknowledged = new Set<number>();
  #published = 0;

  constructor(device: string, kind: string, qos: 1 | 2) {
    this.device = device;
    this.kind = kind;
    this.qos = qos;
  }

  get published(): number {
    return this.#published;
  }

  get acknowledged(): ReadonlySet<number> {
    return this.#acknowledged;
  }

  /** Draws the sequence number of a new message. */
  publish(): number {
    this.#published += 1;
    return this.#published;
  }

  /** Notes an acknowledgement that came with success; a repeat of one changes nothing. */
  acknowledge(seq: number): void {
    this.#acknowledged.add(seq);
  }
}
