import assert from "node:assert/strict";
import { test } from "node:test";
import type { Centre } from "../../../firmware-sim/central/centre.ts";
import { MqttCentre } from "../../../firmware-sim/central/mqtt-centre.ts";
import { NatsCentre } from "../../../firmware-sim/central/nats-centre.ts";
import { type DemoFacts, demandsOf, reportText } from "../../../firmware-sim/demo-report.ts";
import { Ledger } from "../../../firmware-sim/ledger.ts";
import { falsify, type Sabotage } from "../../../firmware-sim/sabotage.ts";
import { checkSink, type SinkRecord } from "../../../firmware-sim/sink-check.ts";

const MESSAGES = 6_000;

/** A run in which everything went well, read back whole or falsified. */
function factsOf(centre: Centre, sabotage?: Sabotage): DemoFacts {
  const ledger = new Ledger("a", "alarm", 2);
  const records: SinkRecord[] = [];
  for (let i = 1; i <= MESSAGES; i++) {
    const seq = ledger.publish();
    ledger.acknowledge(seq);
    const recordId = centre.hasRecordIds ? `e/1/t/${i}` : undefined;
    records.push({ recordId, device: "a", kind: "alarm", seq });
  }
  const ledgers = [ledger];
  const read = sabotage === undefined ? records : falsify(records, ledgers, sabotage);
  return {
    centre,
    tls: false,
    sink: checkSink(ledgers, read),
    outcome: {
      contents: { records, accepted: records.length },
      pids: [10, 11],
      backlogPeak: 3_000,
      reconciled: 7,
      cutSeconds: 6,
      drainSeconds: 1,
      exitCode: 0,
    },
    fleet: {
      devices: 1,
      connected: 0,
      asleep: 0,
      done: 1,
      messages: MESSAGES,
      published: MESSAGES,
      acknowledged: MESSAGES,
      connects: 2,
      secured: 0,
      drops: 0,
      leaves: 0,
      refusals: 0,
      sessionsLost: 0,
      connectSeconds: 0.1,
      commands: undefined,
      wills: undefined,
    },
  };
}

const unmet = (facts: DemoFacts): string[] =>
  demandsOf(facts)
    .filter(({ isMet }) => !isMet)
    .map(({ name }) => name);

const CENTRES = [() => new MqttCentre(), () => new NatsCentre()] as const;

test("a run in which everything went well meets every demand", () => {
  for (const centre of CENTRES) assert.deepEqual(unmet(factsOf(centre())), []);
});

test("a dropped record is noticed with either centre", () => {
  for (const centre of CENTRES) {
    assert.ok(unmet(factsOf(centre(), "drop")).includes("lost = 0"));
  }
});

test("a doubled record is noticed with either centre", () => {
  const [mqtt, nats] = CENTRES.map((centre) => unmet(factsOf(centre(), "double")));
  assert.deepEqual(mqtt, ["read at the centre = accepted by the centre"]);
  assert.ok(nats?.includes("duplicated = 0"));
});

test("each demand can fail by itself", () => {
  const facts = factsOf(new NatsCentre());
  const { outcome, sink, fleet } = facts;
  const cases: readonly [Partial<DemoFacts>, string][] = [
    [{ sink: { ...sink, published: 4_999 } }, "published >= 5,000"],
    [{ outcome: { ...outcome, backlogPeak: 1_799 } }, "backlog peak >= 30 % of published"],
    [{ outcome: { ...outcome, pids: [10] } }, "the edge's pid changed"],
    [{ outcome: { ...outcome, pids: [10, 10] } }, "the edge's pid changed"],
    [{ outcome: { ...outcome, exitCode: 1 } }, "the edge ended with exit code 0"],
    [{ sink: { ...sink, unknown: 1 } }, "nothing unknown at the centre"],
    [{ sink: { ...sink, duplicated: undefined } }, "duplicated = 0"],
    [{ sink: { ...sink, repeatedQos2: 1 } }, "repeated by QoS 2 devices = 0"],
    [
      { outcome: { ...outcome, reconciled: 0 } },
      "found by reconcile, stored but unacknowledged >= 1",
    ],
    [{ fleet: { ...fleet, sessionsLost: 1 } }, "no session forgotten by the edge"],
    [{ tls: true }, "every connection over TLS, certificate verified"],
    [
      { tls: true, fleet: { ...fleet, secured: 1 } },
      "every connection over TLS, certificate verified",
    ],
    [
      { tls: true, fleet: { ...fleet, connects: 0 } },
      "every connection over TLS, certificate verified",
    ],
  ];
  for (const [change, name] of cases) assert.deepEqual(unmet({ ...facts, ...change }), [name]);
});

test("with TLS, verified connections alone are good enough", () => {
  const facts = factsOf(new MqttCentre());
  const { connects } = facts.fleet;
  assert.deepEqual(
    unmet({ ...facts, tls: true, fleet: { ...facts.fleet, secured: connects } }),
    [],
  );
});

test("the table names what cannot be told at an MQTT 3.1.1 centre differently", () => {
  const [mqtt, nats] = CENTRES.map((centre) => {
    const facts = factsOf(centre());
    return reportText(facts, demandsOf(facts), 12.3);
  });
  assert.match(mqtt ?? "", /^arrived again +0 /m);
  assert.doesNotMatch(mqtt ?? "", /^duplicated/m);
  assert.match(nats ?? "", /^duplicated +0 /m);
  assert.match(nats ?? "", /^ok {4}lost = 0 +0$/m);
});
