/** A memory cgroup of Linux, version 1 or 2, for one process and its children. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = "/sys/fs/cgroup";

/** What a cgroup is charged with, in bytes. */
export interface MemoryUse {
  /** Heaps, stacks, buffers: cannot be taken away without a swap. */
  readonly anonymous: number;
  /** File pages: programs, libraries and the store's map; given back under pressure. */
  readonly cache: number;
  /** Sockets, inodes, page tables. */
  readonly kernel: number;
  readonly total: number;
}

/** Where a version keeps its files and what it calls things. */
interface Layout {
  readonly folder: string;
  readonly limit: string;
  readonly usage: string;
  readonly peak: string;
  readonly anonymous: string;
  readonly cache: string;
  /** Fields of `events` or `memory.oom_control`. */
  readonly events: string;
}

const VERSION_1: Layout = {
  folder: join(ROOT, "memory"),
  limit: "memory.limit_in_bytes",
  usage: "memory.usage_in_bytes",
  peak: "memory.max_usage_in_bytes",
  anonymous: "rss",
  cache: "cache",
  events: "memory.oom_control",
};

const VERSION_2: Layout = {
  folder: ROOT,
  limit: "memory.max",
  usage: "memory.current",
  peak: "memory.peak",
  anonymous: "anon",
  cache: "file",
  events: "memory.events",
};

/** The layout in force; undefined: none that we could use. */
function layout(): Layout | undefined {
  if (existsSync(join(VERSION_1.folder, VERSION_1.limit))) return VERSION_1;
  try {
    const controllers = readFileSync(join(ROOT, "cgroup.controllers"), "utf8").split(/\s+/);
    if (!controllers.includes("memory")) return undefined;
    const control = join(ROOT, "cgroup.subtree_control");
    if (!readFileSync(control, "utf8").split(/\s+/).includes("memory")) {
      writeFileSync(control, "+memory");
    }
    return VERSION_2;
  } catch {
    return undefined;
  }
}

/** A number of a file of lines `name number`; 0 when it is not there. */
function field(text: string, name: string): number {
  for (const line of text.split("\n")) {
    if (line.startsWith(`${name} `)) return Number(line.slice(name.length + 1));
  }
  return 0;
}

/** One cgroup with a memory limit and no swap. Linux, and who may make cgroups, alone. */
export class MemoryCgroup {
  readonly #folder: string;
  readonly #layout: Layout;

  private constructor(folder: string, where: Layout) {
    this.#folder = folder;
    this.#layout = where;
  }

  /** Makes one that may use so many bytes; a text says why there can be none here. */
  static make(limitBytes: number): MemoryCgroup | string {
    if (process.platform !== "linux") return "memory cgroups need Linux";
    if (process.getuid?.() !== 0) return "making a memory cgroup needs root";
    const where = layout();
    if (where === undefined) return "no memory cgroup controller here";
    const folder = join(where.folder, `rillmq-footprint-${process.pid}`);
    try {
      mkdirSync(folder);
      writeFileSync(join(folder, where.limit), String(limitBytes));
    } catch (error) {
      return `a memory cgroup cannot be made: ${(error as Error).message}`;
    }
    for (const [file, value] of [
      ["memory.swappiness", "0"],
      ["memory.swap.max", "0"],
    ] as const) {
      if (existsSync(join(folder, file))) writeFileSync(join(folder, file), value);
    }
    return new MemoryCgroup(folder, where);
  }

  /** Runs `command` in it with a shell in front: what the shell reads is charged to it too. */
  shell(command: string): readonly [string, string[]] {
    const enter = `echo $$ > ${join(this.#folder, "cgroup.procs")}`;
    return ["/bin/sh", ["-c", `${enter} && ${command}`]];
  }

  /** As of now. */
  use(): MemoryUse {
    const stat = this.#read("memory.stat");
    const total = Number(this.#read(this.#layout.usage));
    const anonymous = field(stat, this.#layout.anonymous);
    const cache = field(stat, this.#layout.cache);
    return { anonymous, cache, kernel: Math.max(0, total - anonymous - cache), total };
  }

  /** The most it was ever charged with at a time, in bytes; undefined: an old kernel that does not say. */
  peak(): number | undefined {
    try {
      return Number(this.#read(this.#layout.peak));
    } catch {
      return undefined;
    }
  }

  /** How many processes the kernel has killed in it for want of memory. */
  kills(): number {
    return field(this.#read(this.#layout.events), "oom_kill");
  }

  /** Removes it. No process may be in it any more. */
  async remove(): Promise<void> {
    // The kernel takes a moment to let go of processes that have ended.
    for (let attempt = 0; ; attempt++) {
      try {
        rmdirSync(this.#folder);
        return;
      } catch (error) {
        if (attempt === 100) throw error;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  #read(file: string): string {
    return readFileSync(join(this.#folder, file), "utf8");
  }
}
