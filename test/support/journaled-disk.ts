import { spawnSync } from "node:child_process";
import { closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

const IMAGE_BYTES = 64 * 1_048_576;

/** An ext4 file system in a file: a disk that can go wrong as a real one does. */
export interface JournaledDisk {
  readonly path: string;
  /** As the kernel does it after an error of the disk: read-only from one moment to the next, open files or not. */
  goReadOnly(): void;
  /** Checks and mounts it again; nobody may have files open on it. */
  mountAgain(): void;
}

/** Mounts one until the test ends; undefined after the test was skipped, saying so. */
export function mountJournaledDisk(t: TestContext): JournaledDisk | undefined {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-ext4-"));
  const image = join(folder, "image");
  const path = join(folder, "mount");
  mkdirSync(path);
  const file = openSync(image, "w");
  ftruncateSync(file, IMAGE_BYTES);
  closeSync(file);
  const mount = (): boolean => run("mount", ["-o", "loop,errors=remount-ro", image, path]);
  const isMounted = run("mkfs.ext4", ["-q", image]) && mount();
  t.after(() => {
    if (isMounted) run("umount", ["-l", path]);
    rmSync(folder, { recursive: true, force: true });
  });
  if (!isMounted) {
    t.skip("SKIPPED: needs e2fsprogs and the right to mount");
    return undefined;
  }
  return {
    path,
    goReadOnly() {
      if (!run("mount", ["-o", "remount,abort", path])) throw new Error("cannot abort the disk");
    },
    mountAgain() {
      if (!run("umount", [path])) throw new Error("cannot unmount: somebody has files open");
      run("e2fsck", ["-f", "-y", image]);
      if (!mount()) throw new Error("cannot mount again");
    },
  };
}

const PATH = `${process.env["PATH"]}:/usr/sbin:/sbin`;

function run(program: string, args: readonly string[]): boolean {
  return spawnSync(program, args, { env: { ...process.env, PATH } }).status === 0;
}
