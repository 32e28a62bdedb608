import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SHIMS = join(import.meta.dirname, "..", "shim");

const built = new Map<string, string | undefined>();
let folder: string | undefined;

/**
 * Compiles `test/shim/NAME.c` once per process and gives the path for `LD_PRELOAD`; undefined when this machine has no C
 * compiler or is no Linux. `source` overrides where the C file is. Removed when the process ends.
 * @throws when the compiler is there and does not like it.
 */
export function buildShim(name: string, source = join(SHIMS, `${name}.c`)): string | undefined {
  if (built.has(name)) return built.get(name);
  const path = compile(name, source);
  built.set(name, path);
  return path;
}

function compile(name: string, source: string): string | undefined {
  if (process.platform !== "linux") return undefined;
  if (folder === undefined) {
    const made = mkdtempSync(join(tmpdir(), "rillmq-shim-"));
    process.on("exit", () => rmSync(made, { recursive: true, force: true }));
    folder = made;
  }
  const target = join(folder, `${name}.so`);
  const flags = ["-O1", "-shared", "-fPIC", "-Wall", "-Werror", "-pthread", "-o", target, source];
  const result = spawnSync("gcc", [...flags, "-ldl"], { encoding: "utf8" });
  if (result.error !== undefined) return undefined;
  if (result.status !== 0) throw new Error(`cannot compile ${source}: ${result.stderr}`);
  return target;
}
