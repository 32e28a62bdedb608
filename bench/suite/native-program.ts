import { spawnSync } from "node:child_process";
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";

const SOURCES = join(import.meta.dirname, "..", "native");
const PROGRAMS = join(import.meta.dirname, "..", "results", "programs");

/** Why there is no program: no compiler, or it refused. */
export class NoCompilerError extends Error {}

/** With TLS where the headers are there, else without. */
const LIBRARIES = { generator: ["-DWITH_TLS", "-lssl", "-lcrypto"], forwarder: [] } as const;

/**
 * Compiles one of the bench's C programs, unless it is younger than its sources, and returns its path.
 * @throws NoCompilerError
 */
export function nativeProgram(name: keyof typeof LIBRARIES): string {
  const source = join(SOURCES, `${name}.c`);
  const program = join(PROGRAMS, name);
  const madeAt = statSync(program, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const changedAt = Math.max(statSync(source).mtimeMs, statSync(join(SOURCES, "wire.h")).mtimeMs);
  if (madeAt > changedAt) return program;
  mkdirSync(PROGRAMS, { recursive: true });
  let reason = compile(source, program, LIBRARIES[name]);
  if (reason !== undefined && LIBRARIES[name].length > 0) reason = compile(source, program, []);
  if (reason !== undefined) throw new NoCompilerError(reason);
  return program;
}

function compile(
  source: string,
  program: string,
  libraries: readonly string[],
): string | undefined {
  const { status, stderr, error } = spawnSync("gcc", ["-O2", "-o", program, source, ...libraries], {
    encoding: "utf8",
  });
  if (error !== undefined) return `gcc is not installed: ${error.message}`;
  return status === 0 ? undefined : `gcc: ${stderr.trim()}`;
}
