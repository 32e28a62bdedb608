import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "../simulation/world.ts";

const SEEDS = 25;
const STEPS = 400;

test("On many seeds a whole node keeps its promises under crashes, broken networks and a remote that goes away.", () => {
  let crashes = 0;
  let uplinked = 0;
  let replies = 0;
  let events = 0;
  let routed = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const world = new World(seed);
    try {
      for (let i = 0; i < STEPS; i++) world.step();
      world.finish();
    } catch (error) {
      throw new Error(`npm run simulate -- --seed ${seed} --seeds 1 --steps ${STEPS}`, {
        cause: error,
      });
    }
    crashes += world.tally.crashes;
    uplinked += world.tally.uplinked;
    replies += world.tally.replies;
    events += world.tally.events;
    routed += world.tally.routed;
  }
  assert.ok(crashes > SEEDS && uplinked > 10 * SEEDS, `${crashes} crashes, ${uplinked} uplinked`);
  const done = `${replies} replies, ${events} events, ${routed} routed`;
  assert.ok(replies > SEEDS && events > 20 * SEEDS && routed > 5 * SEEDS, done);
});
