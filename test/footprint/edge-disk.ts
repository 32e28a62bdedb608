/** A disk as an edge node has one: ext4 that reads 128 KiB ahead, the default of Linux. */
import { execFileSync } from "node:child_process";
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const SECTOR_BYTES = 512;
const READ_AHEAD_BYTES = 131_072;

/**
 * Machines of clouds and builds read megabytes ahead at every page fault. Under a memory limit these push out the pages of the
 * program itself, which then come back from the disk, for ever: a slow machine, and not one that says anything about an edge node.
 */
export class EdgeDisk {
  readonly path: string;
  readonly #device: string;

  private constructor(path: string, device: string) {
    this.path = path;
    this.#device = device;
  }

  /** Makes one in a file of `folder`, which takes only the space that is used. Needs root; throws when it cannot be. */
  static mount(folder: string, bytes: number): EdgeDisk {
    const file = join(folder, "disk.img");
    const path = join(folder, "disk");
    writeFileSync(file, "");
    truncateSync(file, bytes);
    mkdirSync(path);
    run("mkfs.ext4", ["-q", "-m", "0", "-E", "lazy_itable_init=1,nodiscard", file]);
    // Without direct I/O everything would be cached twice.
    const device = run("losetup", ["--find", "--show", "--direct-io=on", file]).trim();
    const disk = new EdgeDisk(path, device);
    try {
      run("blockdev", ["--setra", String(READ_AHEAD_BYTES / SECTOR_BYTES), device]);
      run("mount", [device, path]);
    } catch (error) {
      run("losetup", ["--detach", device]);
      throw error;
    }
    return disk;
  }

  unmount(): void {
    run("umount", ["--lazy", this.path]);
    run("losetup", ["--detach", this.#device]);
  }
}

const run = (program: string, args: readonly string[]): string =>
  execFileSync(program, args, {
    encoding: "utf8",
    env: { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` },
    stdio: ["ignore", "pipe", "pipe"],
  });
