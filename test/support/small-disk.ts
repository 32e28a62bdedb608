import { spawnSync } from "node:child_process";
import { mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

/** A file system of its own, in memory. */
export interface SmallDisk {
  readonly path: string;
  /** Makes it read-only, whoever asks. */
  makeReadOnly(): void;
}

/** Mounts a small disk until the test ends; undefined after the test was skipped, saying so. */
export function mountSmallDisk(t: TestContext, bytes: number): SmallDisk | undefined {
  const path = mkdtempSync(join(tmpdir(), "rillmq-disk-"));
  const isMounted = run("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", path]);
  t.after(() => {
    // Lazily: a broker that is still being ended may hold a file.
    if (isMounted) run("umount", ["-l", path]);
    rmdirSync(path);
  });
  if (!isMounted) {
    t.skip("SKIPPED: needs the right to mount a tmpfs");
    return undefined;
  }
  return {
    path,
    makeReadOnly() {
      if (!run("mount", ["-o", "remount,ro", path])) throw new Error("cannot remount read-only");
    },
  };
}

function run(program: string, args: readonly string[]): boolean {
  return spawnSync(program, args).status === 0;
}
