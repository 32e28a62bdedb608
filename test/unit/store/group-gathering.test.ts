import assert from "node:assert/strict";
import { test } from "node:test";
import { GroupGathering } from "../../../src/store/group-gathering.ts";

const COMMIT_MS = 1;

function setUp(): {
  readonly gathering: GroupGathering;
  /** A commit of so many, with so many in the next group when it is on disk. */
  commit(answered: number, staged: number): void;
  pass(ms: number): void;
} {
  let now = 100;
  const gathering = new GroupGathering(() => now);
  return {
    gathering,
    commit(answered, staged) {
      gathering.onSealed(answered);
      now += COMMIT_MS;
      gathering.onFlushed(answered, staged);
    },
    pass(ms) {
      now += ms;
    },
  };
}

/** Asks as a store does; true: it waited until the time was over. */
function waitInVain({ gathering, pass }: ReturnType<typeof setUp>, staged: number): boolean {
  if (!gathering.waits(staged)) return false;
  pass(COMMIT_MS);
  assert.equal(gathering.waits(staged), false, "the wait is bounded");
  return true;
}

test("A group waits until those whom the commit before answered are there.", () => {
  const { gathering, commit } = setUp();
  commit(100, 20);
  assert.equal(gathering.waits(20), true);
  assert.equal(gathering.waits(80), true);
  assert.equal(gathering.waits(120), false);
});

test("The wait ends after a share of what commits take.", () => {
  const { gathering, commit, pass } = setUp();
  commit(100, 0);
  pass(COMMIT_MS / 10);
  assert.equal(gathering.waits(1), true);
  pass(COMMIT_MS);
  assert.equal(gathering.waits(1), false);
});

test("Who publishes alone does not wait.", () => {
  const { gathering, commit } = setUp();
  commit(1, 0);
  assert.equal(gathering.waits(1), false);
});

test("Groups of hundreds are sealed at once: loop and disk work at the same time.", () => {
  const { gathering, commit } = setUp();
  commit(400, 100);
  assert.equal(gathering.waits(100), false);
});

test("Nothing waits before the first commit.", () => {
  assert.equal(setUp().gathering.waits(1), false);
});

test("Where nobody answers waiting is tried less and less often, and at once again when somebody does.", () => {
  const world = setUp();
  let waits = 0;
  for (let i = 0; i < 1_000; i++) {
    // As many as came by themselves during the commit before.
    world.commit(50, 50);
    if (waitInVain(world, 50)) waits++;
  }
  assert.ok(waits > 2 && waits < 20, `${waits} of 1,000 commits were waited for`);
  let answers = 0;
  for (let i = 0; i < 1_000; i++) {
    world.commit(100, 0);
    if (!world.gathering.waits(0)) continue;
    answers++;
    assert.equal(world.gathering.waits(100), false);
  }
  assert.ok(answers > 700, `${answers} of 1,000 commits were waited for`);
});
