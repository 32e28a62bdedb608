import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { watchFiles } from "../../../src/files/file-watch.ts";

test("A change of any file is told once, after all stayed the same for one look.", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-watch-"));
  t.after(() => rmSync(folder, { recursive: true }));
  t.mock.timers.enable({ apis: ["setInterval"] });
  const [cert = "", key = ""] = ["cert", "key"].map((name) => join(folder, name));
  writeFileSync(cert, "1");
  let changes = 0;
  const stop = watchFiles([cert, key], () => {
    changes++;
  });
  const changesAfterLook = (): number => {
    t.mock.timers.tick(1_000);
    return changes;
  };
  assert.equal(changesAfterLook(), 0);
  writeFileSync(cert, "22");
  assert.equal(changesAfterLook(), 0, "it may still change");
  writeFileSync(key, "333");
  assert.equal(changesAfterLook(), 0, "it did");
  assert.equal(changesAfterLook(), 1);
  assert.equal(changesAfterLook(), 1);
  rmSync(key);
  changesAfterLook();
  assert.equal(changesAfterLook(), 2, "gone is another change");
  stop();
  writeFileSync(key, "4444");
  changesAfterLook();
  assert.equal(changesAfterLook(), 2);
});
