import assert from "node:assert/strict";
import { test } from "node:test";
import { BrokerHome } from "../support/broker-process.ts";
import { isClean, runKills } from "../torture/kill/kill-run.ts";
import { Ledger, payloadOf } from "../torture/kill/ledger.ts";

const KILLS = 20;
const ACKNOWLEDGED_MIN = 10_000;
const OUTSTANDING_MIN = 100;

test("nothing acknowledged is lost by SIGKILL under load, and QoS 2 stays exactly once", async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const home = new BrokerHome(t);
  const acknowledgedPerKill = ACKNOWLEDGED_MIN / KILLS;
  const report = await runKills({ home, kills: KILLS, seed, acknowledgedPerKill });
  t.diagnostic(JSON.stringify(report));
  assert.ok(report.outstandingMin >= OUTSTANDING_MIN, `${report.outstandingMin} outstanding`);
  assert.ok(report.subscriber.acknowledged >= ACKNOWLEDGED_MIN);
  assert.ok(report.stream.acknowledged > 0);
  assert.deepEqual(report.faults, []);
  assert.ok(isClean(report), `seed ${seed}: ${JSON.stringify(report)}`);
});

test("the ledger sees what is lost, what comes twice, what is out of order and what is foreign", () => {
  const ledger = new Ledger();
  ledger.open("a", 1);
  ledger.open("b", 2);
  for (let number = 0; number < 5; number++) {
    ledger.acknowledge("a", ledger.issue("a"));
    ledger.acknowledge("b", ledger.issue("b"));
  }
  for (const number of [0, 2, 1, 1]) ledger.arrive(payloadOf("a", number));
  for (const number of [0, 1, 2, 3, 4, 4]) ledger.arrive(payloadOf("b", number));
  ledger.arrive(payloadOf("a", 5));
  ledger.arrive(payloadOf("c", 0));
  assert.deepEqual(ledger.report(), {
    acknowledged: 10,
    arrived: 8,
    lost: 2,
    duplicated: 1,
    repeated: 1,
    orderViolations: 1,
    unknown: 2,
  });
});
