import assert from "node:assert/strict";
import { test } from "node:test";
import type { Delivery } from "../../src/native/frame.ts";
import { BrokerHome } from "../support/broker-process.ts";
import { runPatterns } from "../torture/patterns/patterns-run.ts";
import { QueueLedger } from "../torture/patterns/queue-ledger.ts";
import { StreamLedger } from "../torture/patterns/stream-ledger.ts";

const KILLS = 6;

test("Killed at steps of deliveries and appends, nothing acknowledged is lost and nothing settled comes back.", async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const report = await runPatterns({ home: new BrokerHome(t), kills: KILLS, seed });
  t.diagnostic(JSON.stringify(report));
  assert.deepEqual(report.faults, [], `seed ${seed}`);
  assert.ok((report.queues["settled"] ?? 0) > 0 && (report.stream["settled"] ?? 0) > 0);
});

const delivery = (sequence: number, deliveryCount = 1, reroutedFrom?: string): Delivery => ({
  delivery: sequence * 65_536 + deliveryCount,
  sequence,
  deliveryCount,
  sentAt: 0,
  visibleAt: 0,
  ...(reroutedFrom === undefined ? {} : { reroutedFrom }),
});

/** A ledger that knows these messages, all answered. */
function ledgerOf(...payloads: readonly string[]): QueueLedger {
  const ledger = new QueueLedger();
  for (const payload of payloads) {
    ledger.send(payload);
    ledger.answer(payload, 0, false);
  }
  return ledger;
}

test("The ledger of queues sees what is lost, doubled, comes back, too early, out of order, torn or foreign.", () => {
  const lost = ledgerOf("a#0");
  lost.close();
  assert.deepEqual(lost.faults, ["a#0 is lost"]);

  const doubled = ledgerOf("a#0");
  doubled.arrive("work", "a#0", delivery(1), new Map());
  doubled.arrive("work", "a#0", delivery(2), new Map());
  assert.deepEqual(doubled.faults, ["a#0 is there twice: work/1 and work/2"]);

  const back = ledgerOf("a#0", "a#1");
  back.arrive("work", "a#0", delivery(1), new Map());
  back.settle("a#0", "work/1", "ack", delivery(1).delivery);
  back.arrive("work", "a#0", delivery(1), new Map());
  assert.deepEqual(back.faults, [], "the delivery was under way");
  back.arrive("work", "a#0", delivery(1, 2), new Map());
  back.arrive("work", "a#1", delivery(2), new Map());
  back.ask("a#1", "move", delivery(2).delivery);
  back.arrive("other", "a#1", delivery(1, 1, "work"), new Map());
  back.arrive("work", "a#1", delivery(2, 2), new Map());
  const [first, second] = back.faults;
  assert.equal(first, "a#0 came back as work/1");
  assert.equal(second, "a#1 came back as work/2, which was moved");

  const early = new QueueLedger();
  early.send("a#0");
  early.answer("a#0", Date.now() + 60_000, false);
  early.arrive("work", "a#0", delivery(1), new Map());
  assert.match(early.faults[0] ?? "", /^a#0 came \d+ ms too early$/);

  const order = new Map<string, number>();
  const unordered = ledgerOf("a#0", "a#1", "a#2");
  unordered.arrive("work", "a#1", delivery(2), order);
  unordered.arrive("work", "a#2", delivery(3, 2), order);
  unordered.arrive("work", "a#0", delivery(1), order);
  assert.deepEqual(unordered.faults, ["a#0 came as work/1 behind 2"]);

  const torn = new QueueLedger();
  for (const payload of ["a#0", "a#1"]) torn.send(payload);
  torn.abandon(["a#0", "a#1"]);
  torn.arrive("work", "a#0", delivery(1), new Map());
  torn.arrive("work", "b#0", delivery(2), new Map());
  torn.close();
  assert.deepEqual(torn.faults, ["b#0 was never sent", "1 of a#0 a#1 were taken"]);
});

test("The ledger of streams sees what is lost, doubled, out of order, undelivered or comes back.", () => {
  const ledger = new StreamLedger();
  for (let i = 1; i <= 4; i++) ledger.answer(`a#${i}`, i);
  let last = ledger.arrive("a#2", 2, 1, 0);
  last = ledger.arrive("a#1", 1, 1, last);
  ledger.settle(2);
  ledger.arrive("a#2", 2, 2, last);
  ledger.settle(1);
  ledger.close([
    { sequence: 1, payload: "a#1" },
    { sequence: 2, payload: "a#2" },
    { sequence: 3, payload: "a#2" },
    { sequence: 5, payload: "a#4" },
  ]);
  assert.deepEqual(ledger.faults, [
    "record 1 came behind 2",
    "record 2 came back",
    "a#2 is there twice",
    "a#2 has the sequences 2 and 3",
    "the sequence 3 has a#3 and a#2",
    "record 3 was not delivered",
    "record 4 has the sequence 5",
    "a#4 has the sequences 4 and 5",
    "record 5 was not delivered",
    "a#3 is lost",
  ]);
});
