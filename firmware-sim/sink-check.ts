import type { LedgerView } from "./ledger.ts";

/** One record as an independent reader found it at the centre. The list is in order of arrival. */
export interface SinkRecord {
  /** `edgeId/epoch/stream/sequence`; undefined where the centre cannot carry it (MQTT before 5.0). */
  readonly recordId: string | undefined;
  readonly device: string;
  readonly kind: string;
  readonly seq: number;
}

/** What the comparison of the ledgers with the centre found. All counts are of messages or records. */
export interface SinkReport {
  /** Messages that devices handed to their MQTT client, each (device, seq) once. */
  readonly published: number;
  /** Messages whose PUBACK (QoS 1) or PUBREC (QoS 2) the device received. */
  readonly acknowledged: number;
  /** Records at the centre, everything counted. */
  readonly arrived: number;
  /** Different (device, seq) at the centre. */
  readonly distinct: number;
  /** Acknowledged and absent at the centre. */
  readonly lost: number;
  /** The same record id again; undefined when any record came without an id. */
  readonly duplicated: number | undefined;
  /** The same (device, seq) in a further record (where ids are missing: in a further arrival). */
  readonly repeated: number;
  /** The part of `repeated` that belongs to devices which publish with QoS 2. */
  readonly repeatedQos2: number;
  /** First arrivals with a lower seq than an earlier first arrival of the same device. */
  readonly orderViolations: number;
  /** Arrived although the device never received an acknowledgement: allowed, and good to know. */
  readonly unacknowledged: number;
  /** Records of a device, kind or seq that no ledger knows. */
  readonly unknown: number;
  /** Up to ten lost messages as `device#seq`, to start a search with. */
  readonly lostExamples: readonly string[];
}

const EXAMPLES_MAX = 10;

interface DeviceState {
  readonly ledger: LedgerView;
  readonly seen: Set<number>;
  highest: number;
}

/** Collects what arrives of each device while the records are walked once, in order. */
class Tally {
  readonly #devices = new Map<string, DeviceState>();
  readonly #recordIds = new Set<string>();
  duplicated = 0;
  repeated = 0;
  repeatedQos2 = 0;
  orderViolations = 0;
  unacknowledged = 0;
  unknown = 0;
  withoutId = 0;

  constructor(ledgers: readonly LedgerView[]) {
    for (const ledger of ledgers) {
      this.#devices.set(ledger.device, { ledger, seen: new Set(), highest: 0 });
    }
  }

  get devices(): Iterable<DeviceState> {
    return this.#devices.values();
  }

  add(record: SinkRecord): void {
    const { recordId } = record;
    if (recordId === undefined) this.withoutId += 1;
    else if (this.#recordIds.has(recordId)) {
      this.duplicated += 1;
      return;
    } else this.#recordIds.add(recordId);
    const state = this.#devices.get(record.device);
    if (state === undefined || !isKnown(record, state.ledger)) this.unknown += 1;
    else this.#arrive(state, record.seq);
  }

  #arrive(state: DeviceState, seq: number): void {
    if (state.seen.has(seq)) {
      this.repeated += 1;
      if (state.ledger.qos === 2) this.repeatedQos2 += 1;
      return;
    }
    state.seen.add(seq);
    if (seq < state.highest) this.orderViolations += 1;
    else state.highest = seq;
    if (!state.ledger.acknowledged.has(seq)) this.unacknowledged += 1;
  }
}

function isKnown(record: SinkRecord, ledger: LedgerView): boolean {
  return record.kind === ledger.kind && record.seq >= 1 && record.seq <= ledger.published;
}

/**
 * Compares what the devices were promised with what the centre holds. Pure: the same input gives the same
 * report. `records` is everything the centre holds of this fleet, in order of arrival.
 */
export function checkSink(
  ledgers: readonly LedgerView[],
  records: readonly SinkRecord[],
): SinkReport {
  const tally = new Tally(ledgers);
  for (const record of records) tally.add(record);
  let published = 0;
  let acknowledged = 0;
  let distinct = 0;
  let lost = 0;
  const lostExamples: string[] = [];
  for (const { ledger, seen } of tally.devices) {
    published += ledger.published;
    acknowledged += ledger.acknowledged.size;
    distinct += seen.size;
    for (const seq of ledger.acknowledged) {
      if (seen.has(seq)) continue;
      lost += 1;
      if (lostExamples.length < EXAMPLES_MAX) lostExamples.push(`${ledger.device}#${seq}`);
    }
  }
  return {
    published,
    acknowledged,
    arrived: records.length,
    distinct,
    lost,
    duplicated: tally.withoutId > 0 ? undefined : tally.duplicated,
    repeated: tally.repeated,
    repeatedQos2: tally.repeatedQos2,
    orderViolations: tally.orderViolations,
    unacknowledged: tally.unacknowledged,
    unknown: tally.unknown,
    lostExamples,
  };
}
