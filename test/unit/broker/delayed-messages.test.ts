import assert from "node:assert/strict";
import { test } from "node:test";
import { QueueBench } from "../../support/queue-bench.ts";

const MANY = 20_000;
/** Rows read in one turn: a step of the walk and one of what is due, each with the page that it ends in. */
const ROWS_PER_TURN = 2_000;

function benchWith(count: number): QueueBench {
  const bench = new QueueBench({ messagesMax: 10 * MANY, bytesMax: 1e9 });
  for (let i = 0; i < count; i++) bench.send(String(i), { delayMs: 60_000 + i }, i % 2 ? "q" : "p");
  bench.flush();
  return bench;
}

const rowsOf = (bench: QueueBench, kind: number): number =>
  bench.disk.keys("meta").filter((key) => key[0] === kind).length;

/** Counts rows that are read. */
function countRows(bench: QueueBench): () => number {
  let rows = 0;
  const scan = bench.store.scan.bind(bench.store);
  bench.store.scan = (...args) => {
    const found = scan(...args);
    rows += found.length;
    return found;
  };
  return () => {
    const counted = rows;
    rows = 0;
    return counted;
  };
}

test("Purging a queue with very many delayed messages takes them at once and reads a step of rows per turn.", () => {
  const bench = benchWith(MANY);
  const rows = countRows(bench);
  assert.equal(bench.queues.purge(bench.queue("q")).count, MANY / 2);
  assert.equal(rows(), 0);
  bench.send("after", { delayMs: 60_000 });
  bench.flush();
  assert.equal(bench.queue("q").messages, 1);
  let turns = 0;
  while (rowsOf(bench, 0x73) > 0) {
    bench.ms++;
    bench.deadlines.takeDue(bench.now)?.onDue(bench.now);
    assert.ok(rows() <= ROWS_PER_TURN);
    bench.flush();
    turns++;
  }
  assert.ok(turns >= MANY / 500, `${turns} turns`);
  assert.equal(rowsOf(bench, 0x74), MANY / 2 + 1);
  bench.advance(120_000);
  assert.deepEqual(bench.take().texts, ["after"]);
  assert.equal(bench.queue("p").messages, MANY / 2);
});

test("What was purged does not come back, whenever the broker ends, and what was sent later stays.", () => {
  for (let turns = 0; turns < 5; turns++) {
    const bench = benchWith(1_600);
    bench.queues.purge(bench.queue("q"));
    bench.send("after", { delayMs: 60_000 });
    bench.flush();
    for (let i = 0; i < turns; i++) {
      bench.ms++;
      bench.deadlines.takeDue(bench.now)?.onDue(bench.now);
      bench.store.flush();
    }
    bench.crash();
    assert.deepEqual([bench.queue("q").messages, bench.queue("p").messages], [1, 800]);
    bench.advance(120_000);
    assert.deepEqual(bench.take().texts, ["after"]);
    assert.deepEqual([rowsOf(bench, 0x73), rowsOf(bench, 0x74)], [0, 0]);
  }
});

test("A purge that is not on disk when the broker ends has not been.", () => {
  const bench = benchWith(10);
  bench.queues.purge(bench.queue("q"));
  bench.crash();
  assert.equal(bench.queue("q").messages, 5);
});

test("What is due before the walk gets there is not handed out, nor is what another queue purges during the walk.", () => {
  const bench = benchWith(5_000);
  bench.queues.purge(bench.queue("q"));
  bench.flush();
  bench.ms++;
  bench.deadlines.takeDue(bench.now)?.onDue(bench.now);
  bench.queues.delete(bench.queue("p"));
  bench.flush();
  bench.advance(200_000);
  assert.deepEqual([bench.take().texts, bench.take(10, "p").texts], [[], []]);
  assert.deepEqual([rowsOf(bench, 0x73), rowsOf(bench, 0x74)], [0, 0]);
});

test("When time spent off becomes known, very many delayed messages are moved a step per turn, each once, whenever the broker ends.", () => {
  for (const end of [0, 3, 1_000]) {
    const bench = benchWith(MANY);
    // So many are written in one millisecond only here: their numbers run ahead of the time.
    bench.missed = { ms: 30_000, before: bench.ms + 100 };
    bench.ms += 200;
    const rows = countRows(bench);
    bench.queues.onAged();
    assert.ok(rows() <= ROWS_PER_TURN, "in the turn in which it becomes known");
    for (let turns = 0; turns < end && (bench.deadlines.next() ?? 0) < bench.ms + 1_000; turns++) {
      assert.ok(rows() <= ROWS_PER_TURN);
      bench.ms++;
      bench.deadlines.takeDue(bench.now)?.onDue(bench.now);
      bench.flush();
    }
    bench.crash();
    bench.advance(29_000);
    assert.equal(bench.queue("p").deliveries.waiting, 0, "not too early");
    bench.advance(25_000);
    assert.equal(rowsOf(bench, 0x74), 0);
    assert.deepEqual(
      ["p", "q"].map((name) => bench.queue(name).deliveries.waiting),
      [MANY / 2, MANY / 2],
    );
  }
});
