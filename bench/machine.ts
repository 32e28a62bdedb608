import { spawnSync } from "node:child_process";
import { statfsSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";

/** Where and on what a bench ran. */
export interface Machine {
  readonly cores: number;
  readonly cpuModel: string;
  readonly memoryBytes: number;
  readonly system: string;
  readonly node: string;
  /** Short hash, with `+` behind it when the work tree differs from it. */
  readonly commit: string;
  /** Kind of file system under the brokers' data. */
  readonly dataFileSystem: string;
  readonly startedAt: string;
}

/** File systems by the magic number of statfs(2); the ones worth a name in a report. */
const FILE_SYSTEMS: ReadonlyMap<number, string> = new Map([
  [0xef53, "ext4"],
  [0x01021994, "tmpfs (memory, not a disk)"],
  [0x794c7630, "overlayfs"],
  [0x58465342, "xfs"],
  [0x9123683e, "btrfs"],
  [0xf2f52010, "f2fs"],
  [0x2fc12fc1, "zfs"],
]);

/** Describes this machine; `dataFolder` is where the brokers' files go. */
export function describeMachine(dataFolder: string): Machine {
  const processors = cpus();
  const { type } = statfsSync(dataFolder);
  return {
    cores: processors.length,
    cpuModel: processors[0]?.model.trim() ?? "unknown",
    memoryBytes: totalmem(),
    system: `${process.platform} ${release()} ${process.arch}`,
    node: process.version,
    commit: commit(),
    dataFileSystem: FILE_SYSTEMS.get(type) ?? `type 0x${type.toString(16)}`,
    startedAt: new Date().toISOString(),
  };
}

function commit(): string {
  const root = join(import.meta.dirname, "..");
  const git = (...args: string[]): string | undefined => {
    const { status, stdout } = spawnSync("git", args, { cwd: root, encoding: "utf8" });
    return status === 0 ? stdout.trim() : undefined;
  };
  const hash = git("rev-parse", "--short", "HEAD");
  if (hash === undefined) return "unknown (no git)";
  return git("status", "--porcelain") === "" ? hash : `${hash}+ (with changes)`;
}
