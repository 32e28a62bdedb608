import assert from "node:assert/strict";
import { test } from "node:test";
import { planSpill } from "../../../src/broker/spill-plan.ts";
import type { Ordinal } from "../../../src/broker/store.ts";

const MIB = 1_048_576;
const pin = (oldest: number, bytes: number) => ({ oldest: oldest as Ordinal, bytes });
/** A million ordinals, 64 MiB may be held. */
const plan = (pinnedBytes: number, ...pins: ReturnType<typeof pin>[]): Ordinal | undefined =>
  planSpill(pins, pinnedBytes, 1_000_000 as Ordinal, 64 * MIB);

test("Nothing is copied as long as sessions hold no more than they may.", () => {
  assert.equal(plan(64 * MIB, pin(1, 10)), undefined);
  assert.equal(plan(65 * MIB), undefined);
});

test("A session far behind that is owed little is copied whole.", () => {
  assert.equal(plan(65 * MIB, pin(0, 10)), 1_000_000);
});

test("A session that is owed most of what it holds is left alone: a copy would give nothing back.", () => {
  assert.equal(plan(100 * MIB, pin(0, 60 * MIB)), undefined);
  assert.equal(plan(100 * MIB, pin(0, 49 * MIB)), 1_000_000);
});

test("Many sessions that are owed the same are left alone, the one far behind them is copied.", () => {
  const many = Array.from({ length: 50 }, () => pin(900_000, 40 * MIB));
  assert.equal(plan(400 * MIB, ...many), undefined);
  assert.equal(plan(400 * MIB, pin(0, MIB), ...many), 900_000);
});

test("Sessions are taken until half of the limit is left, those that keep up are not.", () => {
  const pins = [pin(0, 10), pin(100, MIB), pin(990_000, MIB), pin(999_999, MIB)];
  assert.equal(plan(200 * MIB, ...pins), 990_000);
});

test("Freeing next to nothing is not worth a step.", () => {
  assert.equal(plan(65 * MIB, pin(0, 10), pin(100, 60 * MIB)), undefined);
});
