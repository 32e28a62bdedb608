import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { OperatingError } from "../../../src/lib/operating-error.ts";
import { openDataFolder } from "../../../src/store/data-folder.ts";

const DATA_FOLDER = new URL("../../../src/store/data-folder.ts", import.meta.url).href;

async function withFolder(run: (path: string) => Promise<void> | void): Promise<void> {
  const path = mkdtempSync(join(tmpdir(), "rillmq-folder-"));
  try {
    await run(path);
  } finally {
    chmodSync(path, 0o700);
    rmSync(path, { recursive: true, force: true });
  }
}

const hasCode = (code: string) => (error: unknown) =>
  error instanceof OperatingError && error.code === code && error.message.includes("data folder");

test("a data folder is made for its owner only and locked once", () =>
  withFolder((path) => {
    const data = join(path, "deep", "data");
    const folder = openDataFolder(data);
    assert.equal(folder.path, data);
    assert.equal(folder.storePath, join(data, "store.mdb"));
    assert.equal(statSync(data).mode & 0o777, 0o700);
    assert.throws(() => openDataFolder(data), hasCode("data-folder-in-use"));
    folder.close();
    openDataFolder(data).close();
  }));

test("what is no folder is unusable", () =>
  withFolder((path) => {
    writeFileSync(join(path, "file"), "");
    assert.throws(() => openDataFolder(join(path, "file")), hasCode("data-folder-unusable"));
    assert.throws(() => openDataFolder(join(path, "file", "x")), hasCode("data-folder-unusable"));
  }));

test("a folder that may not be written is unusable", () =>
  withFolder((path) => {
    chmodSync(path, 0o500);
    // Root may write everywhere: it gives that up for the moment.
    const isRoot = process.getuid?.() === 0;
    if (isRoot) process.seteuid?.(65_534);
    try {
      assert.throws(() => openDataFolder(path), hasCode("data-folder-unusable"));
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  }));

test("the lock of a process is gone after SIGKILL", () =>
  withFolder(async (path) => {
    const code = `import { openDataFolder } from ${JSON.stringify(DATA_FOLDER)};
      openDataFolder(${JSON.stringify(path)}); console.log("locked"); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", code], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exited = once(child, "exit");
    await once(child.stdout, "data");
    assert.throws(() => openDataFolder(path), hasCode("data-folder-in-use"));
    child.kill("SIGKILL");
    await exited;
    openDataFolder(path).close();
  }));
