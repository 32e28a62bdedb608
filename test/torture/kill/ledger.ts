/** Who published what, what was acknowledged, and what came: so that nothing can be lost unseen. */

/** Of one publisher. */
interface Account {
  readonly qos: 1 | 2;
  issued: number;
  readonly acknowledged: Set<number>;
  /** How often each number came. */
  readonly arrived: Map<number, number>;
  /** Highest number so far among first arrivals. */
  highest: number;
  orderViolations: number;
}

/** What a ledger says in the end. */
export interface LedgerReport {
  readonly acknowledged: number;
  readonly arrived: number;
  /** Acknowledged and not arrived. */
  readonly lost: number;
  /** Arrived more than once with QoS 2. */
  readonly duplicated: number;
  /** Arrived more than once with QoS 1: allowed. */
  readonly repeated: number;
  /** First arrivals behind a later one of the same publisher. */
  readonly orderViolations: number;
  /** Arrived and never published. */
  readonly unknown: number;
}

/** Numbers per publisher from 0 on; payloads carry publisher and number. */
export class Ledger {
  readonly #accounts = new Map<string, Account>();
  #acknowledged = 0;
  #unknown = 0;

  /** How many messages were acknowledged, over all publishers. */
  get acknowledgedCount(): number {
    return this.#acknowledged;
  }

  open(publisher: string, qos: 1 | 2): void {
    this.#accounts.set(publisher, {
      qos,
      issued: 0,
      acknowledged: new Set(),
      arrived: new Map(),
      highest: -1,
      orderViolations: 0,
    });
  }

  /** The next number of a publisher. */
  issue(publisher: string): number {
    const account = this.#accounts.get(publisher);
    if (account === undefined) throw new Error(`no account ${publisher}`);
    return account.issued++;
  }

  acknowledge(publisher: string, number: number): void {
    this.#accounts.get(publisher)?.acknowledged.add(number);
    this.#acknowledged++;
  }

  /** A copy came. */
  arrive(payload: Uint8Array): void {
    const [publisher = "", text] = Buffer.from(payload).toString().trimEnd().split("#");
    const account = this.#accounts.get(publisher);
    const number = Number(text);
    if (account === undefined || !(number < account.issued)) {
      this.#unknown++;
      return;
    }
    const before = account.arrived.get(number) ?? 0;
    account.arrived.set(number, before + 1);
    if (before > 0) return;
    if (number < account.highest) account.orderViolations++;
    else account.highest = number;
  }

  /** An empty ledger with the same accounts and acknowledgements, to hold another sink against. */
  forAnotherSink(publishers: readonly string[]): Ledger {
    const other = new Ledger();
    for (const publisher of publishers) {
      const account = this.#accounts.get(publisher);
      if (account === undefined) continue;
      other.open(publisher, account.qos);
      const copy = other.#accounts.get(publisher);
      if (copy !== undefined) copy.issued = account.issued;
      for (const number of account.acknowledged) other.acknowledge(publisher, number);
    }
    return other;
  }

  /** True when everything acknowledged has arrived. */
  get isComplete(): boolean {
    return this.report().lost === 0;
  }

  report(): LedgerReport {
    const report = {
      acknowledged: this.#acknowledged,
      arrived: 0,
      lost: 0,
      duplicated: 0,
      repeated: 0,
      orderViolations: 0,
      unknown: this.#unknown,
    };
    for (const { qos, acknowledged, arrived, orderViolations } of this.#accounts.values()) {
      report.arrived += arrived.size;
      report.orderViolations += orderViolations;
      for (const number of acknowledged) if (!arrived.has(number)) report.lost++;
      for (const count of arrived.values()) {
        if (count === 1) continue;
        if (qos === 2) report.duplicated++;
        else report.repeated++;
      }
    }
    return report;
  }
}

const PAYLOAD_BYTES = 64;

/** 64 bytes that say who and which. */
export const payloadOf = (publisher: string, number: number): Uint8Array =>
  Buffer.from(`${publisher}#${number}`.padEnd(PAYLOAD_BYTES));
