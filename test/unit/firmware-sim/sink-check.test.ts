import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Ledger } from "../../../firmware-sim/ledger.ts";
import { falsify } from "../../../firmware-sim/sabotage.ts";
import { checkSink, type SinkRecord } from "../../../firmware-sim/sink-check.ts";

interface LedgerPlan {
  readonly device: string;
  readonly qos?: 1 | 2;
  readonly published: number;
  /** How many from 1 on are acknowledged; default all. */
  readonly acknowledged?: number;
}

function ledgerOf(plan: LedgerPlan): Ledger {
  const ledger = new Ledger(plan.device, "sensor", plan.qos ?? 1);
  for (let i = 0; i < plan.published; i++) ledger.publish();
  const acknowledged = plan.acknowledged ?? plan.published;
  for (let seq = 1; seq <= acknowledged; seq++) ledger.acknowledge(seq);
  return ledger;
}

/** Records of device `a`, one per seq, with ids 1, 2, … unless given. */
const recordsOf = (seqs: readonly number[], ids?: readonly (number | undefined)[]): SinkRecord[] =>
  seqs.map((seq, index) => {
    const id = ids === undefined ? index + 1 : ids[index];
    return {
      recordId: id === undefined ? undefined : `edge/1/telemetry/${id}`,
      device: "a",
      kind: "sensor",
      seq,
    };
  });

describe("checkSink", () => {
  test("a complete sink has nothing to report", () => {
    const report = checkSink([ledgerOf({ device: "a", published: 3 })], recordsOf([1, 2, 3]));
    assert.deepEqual(report, {
      published: 3,
      acknowledged: 3,
      arrived: 3,
      distinct: 3,
      lost: 0,
      duplicated: 0,
      repeated: 0,
      repeatedQos2: 0,
      orderViolations: 0,
      unacknowledged: 0,
      unknown: 0,
      lostExamples: [],
    });
  });

  test("an acknowledged message that is absent is lost", () => {
    const report = checkSink([ledgerOf({ device: "a", published: 3 })], recordsOf([1, 3]));
    assert.equal(report.lost, 1);
    assert.deepEqual(report.lostExamples, ["a#2"]);
  });

  test("a device of which nothing arrived has lost all that was acknowledged", () => {
    const ledgers = [
      ledgerOf({ device: "a", published: 1 }),
      ledgerOf({ device: "b", published: 20 }),
    ];
    const report = checkSink(ledgers, recordsOf([1]));
    assert.equal(report.lost, 20);
    assert.equal(report.lostExamples.length, 10, "the examples are bounded");
  });

  test("a message without acknowledgement is never lost, and may be there", () => {
    const ledgers = [ledgerOf({ device: "a", published: 3, acknowledged: 1 })];
    assert.equal(checkSink(ledgers, recordsOf([1])).lost, 0);
    assert.equal(checkSink(ledgers, recordsOf([1, 2])).unacknowledged, 1);
  });

  test("the same record id twice is a duplicate and not a repeat", () => {
    const ledgers = [ledgerOf({ device: "a", published: 2 })];
    const report = checkSink(ledgers, recordsOf([1, 2, 1, 2], [1, 2, 1, 1]));
    assert.equal(report.duplicated, 2);
    assert.equal(report.repeated, 0);
  });

  test("the same device and seq under another record id is a repeat and not a duplicate", () => {
    const report = checkSink([ledgerOf({ device: "a", published: 2 })], recordsOf([1, 2, 1, 2]));
    assert.equal(report.duplicated, 0);
    assert.equal(report.repeated, 2);
    assert.equal(report.repeatedQos2, 0);
  });

  test("a repeat of a QoS 2 device is counted by itself", () => {
    const ledgers = [ledgerOf({ device: "a", qos: 2, published: 2 })];
    assert.equal(checkSink(ledgers, recordsOf([1, 1, 2])).repeatedQos2, 1);
  });

  test("without record ids duplicates cannot be told and every further arrival is a repeat", () => {
    const ledgers = [ledgerOf({ device: "a", published: 2 })];
    const report = checkSink(ledgers, recordsOf([1, 2, 2], [undefined, undefined, undefined]));
    assert.equal(report.duplicated, undefined);
    assert.equal(report.repeated, 1);
  });

  test("one record without an id makes the count of duplicates unknown", () => {
    const ledgers = [ledgerOf({ device: "a", published: 3 })];
    assert.equal(checkSink(ledgers, recordsOf([1, 2, 3], [1, undefined, 3])).duplicated, undefined);
  });

  test("only a first arrival can violate the order", () => {
    const ledgers = [ledgerOf({ device: "a", published: 5 })];
    assert.equal(checkSink(ledgers, recordsOf([1, 2, 3, 2, 3, 4, 5])).orderViolations, 0);
    assert.equal(checkSink(ledgers, recordsOf([1, 4, 2, 3, 5])).orderViolations, 2);
  });
});

describe("checkSink over several devices", () => {
  test("the order of one device does not bind another", () => {
    const ledgers = [
      ledgerOf({ device: "a", published: 1 }),
      ledgerOf({ device: "b", published: 2 }),
    ];
    const b = (seq: number): SinkRecord => ({
      recordId: `b${seq}`,
      device: "b",
      kind: "sensor",
      seq,
    });
    assert.equal(checkSink(ledgers, [b(1), b(2), ...recordsOf([1])]).orderViolations, 0);
  });

  test("records that no ledger knows are counted apart", () => {
    const ledgers = [ledgerOf({ device: "a", published: 1 })];
    const stranger: SinkRecord = { recordId: "x", device: "z", kind: "sensor", seq: 1 };
    const otherKind: SinkRecord = { recordId: "y", device: "a", kind: "alarm", seq: 1 };
    const report = checkSink(ledgers, [...recordsOf([1, 2, 0]), stranger, otherKind]);
    assert.equal(report.unknown, 4);
    assert.equal(report.distinct, 1);
  });
});

describe("sabotage", () => {
  const ledgers = [ledgerOf({ device: "a", qos: 2, published: 9 })];

  test("a dropped record is found as lost, also when it had arrived twice", () => {
    for (const seqs of [
      [1, 2, 3, 4, 5, 6, 7, 8, 9],
      [1, 2, 3, 4, 5, 6, 5, 6, 7, 8, 9],
    ]) {
      const whole = recordsOf(seqs);
      assert.equal(checkSink(ledgers, whole).lost, 0);
      assert.equal(checkSink(ledgers, falsify(whole, ledgers, "drop")).lost, 1);
    }
  });

  test("a doubled record is found as duplicated", () => {
    const report = checkSink(ledgers, falsify(recordsOf([1, 2, 3]), ledgers, "double"));
    assert.equal(report.duplicated, 1);
    assert.equal(report.arrived, 4);
  });

  test("the list that was read stays untouched", () => {
    const whole = recordsOf([1, 2, 3]);
    falsify(whole, ledgers, "double");
    falsify(whole, ledgers, "drop");
    assert.deepEqual(whole, recordsOf([1, 2, 3]));
  });

  test("only an acknowledged record is a victim", () => {
    const few = [ledgerOf({ device: "a", published: 3, acknowledged: 1 })];
    assert.equal(checkSink(few, falsify(recordsOf([1, 2, 3]), few, "drop")).lost, 1);
    assert.throws(() => falsify([], few, "drop"), /nothing to falsify/);
  });
});
