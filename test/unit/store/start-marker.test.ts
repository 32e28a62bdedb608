import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { StartMarker } from "../../../src/store/start-marker.ts";

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-marker-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A run that ends by a crash at some point. */
function crash(folder: string, isReady: boolean): void {
  const marker = new StartMarker(folder);
  marker.begin();
  if (isReady) marker.isReady();
}

test("two starts in a row that crash before they are ready are suspicious", (t) => {
  const folder = folderOf(t);
  crash(folder, false);
  assert.ok(!new StartMarker(folder).isSuspicious);
  crash(folder, false);
  assert.ok(new StartMarker(folder).isSuspicious);
});

test("of runs that crash soon after they were ready it takes four", (t) => {
  const folder = folderOf(t);
  for (let run = 0; run < 3; run++) crash(folder, true);
  assert.ok(!new StartMarker(folder).isSuspicious);
  crash(folder, true);
  assert.ok(new StartMarker(folder).isSuspicious);
});

test("a run that settled, and a look at the store, forget what was before", (t) => {
  const folder = folderOf(t);
  crash(folder, false);
  const marker = new StartMarker(folder);
  marker.begin();
  marker.isReady();
  marker.isSettled();
  assert.ok(!existsSync(join(folder, "rillmq.starting")));
  crash(folder, false);
  crash(folder, false);
  const looked = new StartMarker(folder);
  looked.clear();
  looked.begin();
  assert.ok(!new StartMarker(folder).isSuspicious);
});

test("a start that fails for an ordinary reason leaves the count as it was", (t) => {
  const folder = folderOf(t);
  crash(folder, false);
  for (let attempt = 0; attempt < 5; attempt++) {
    const marker = new StartMarker(folder);
    marker.begin();
    marker.abandon();
  }
  assert.ok(!new StartMarker(folder).isSuspicious);
  crash(folder, false);
  assert.ok(new StartMarker(folder).isSuspicious);
});

test("damage that was met while reading makes the next start look; a torn marker counts as one crash", (t) => {
  const folder = folderOf(t);
  new StartMarker(folder).condemn();
  assert.ok(new StartMarker(folder).isSuspicious);
  writeFileSync(join(folder, "rillmq.starting"), "\0\0");
  assert.ok(!new StartMarker(folder).isSuspicious);
  crash(folder, false);
  assert.ok(new StartMarker(folder).isSuspicious);
});
