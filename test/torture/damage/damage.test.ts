import assert from "node:assert/strict";
import { test } from "node:test";
import { runDamages } from "./damage-run.ts";

test("twenty damaged stores lose nothing that is not reported; the seed is 1", async (t) => {
  const onProgress = (line: string): void => t.diagnostic(line);
  assert.deepEqual(await runDamages({ damages: 20, seed: 1, onProgress }), []);
});
