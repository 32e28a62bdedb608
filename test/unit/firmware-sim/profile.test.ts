import assert from "node:assert/strict";
import { test } from "node:test";
import { fork, integer } from "../../../firmware-sim/chance.ts";
import {
  DEFAULT_PROFILE,
  decodeProfile,
  type Profile,
  scaleProfile,
  spread,
} from "../../../firmware-sim/profile.ts";
import { SeededRandom } from "../../../src/lib/random.ts";

const countsOf = (profile: Profile): string =>
  profile.map(({ kind, count }) => `${kind.kind}=${count}`).join(",");

test("a profile names kinds and counts", () => {
  assert.equal(countsOf(decodeProfile(DEFAULT_PROFILE)), DEFAULT_PROFILE);
  assert.equal(countsOf(decodeProfile(" alarm = 2 ")), "alarm=2");
});

test("a mistake in a profile is named", () => {
  assert.throws(() => decodeProfile("sensor=1,toaster=2"), /unknown kind "toaster"/);
  for (const text of ["sensor", "sensor=0", "sensor=-1", "sensor=1.5"]) {
    assert.throws(() => decodeProfile(text), /must read sensor=COUNT/, text);
  }
  assert.throws(() => decodeProfile(""), /unknown kind/);
});

test("a scaled profile keeps its proportions and has exactly the wanted size", () => {
  const profile = decodeProfile(DEFAULT_PROFILE);
  assert.equal(countsOf(scaleProfile(profile, 160)), "sensor=100,alarm=30,flaky=30");
  for (const devices of [1, 7, 16, 33]) {
    const total = scaleProfile(profile, devices).reduce((sum, { count }) => sum + count, 0);
    assert.equal(total, devices);
  }
});

test("a total is spread without losing or inventing a message", () => {
  assert.deepEqual(spread(10, 4), [3, 3, 2, 2]);
  assert.deepEqual(spread(2, 3), [1, 1, 0]);
});

test("the same seed gives every device the same numbers, and two devices different ones", () => {
  const draw = (seed: number, fleet: number): number[][] => {
    const random = new SeededRandom(seed);
    return Array.from({ length: fleet }, () => {
      const own = fork(random);
      return Array.from({ length: 20 }, () => own.next());
    });
  };
  assert.deepEqual(draw(7, 3), draw(7, 3));
  const [one, other] = draw(7, 2);
  assert.notDeepEqual(one, other);
});

test("an integer covers its whole range and nothing else", () => {
  const random = new SeededRandom(1);
  const seen = new Set(Array.from({ length: 1_000 }, () => integer(random, 3, 7)));
  assert.deepEqual([...seen].sort(), [3, 4, 5, 6, 7]);
});
