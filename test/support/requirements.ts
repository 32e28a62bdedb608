import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { TestContext } from "node:test";

/** Folders beside PATH where servers are installed. */
const SERVER_FOLDERS = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"];

/** Where a program is; undefined: not installed. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), ...SERVER_FOLDERS];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** The path of a program that a test needs; undefined after the test was skipped, saying so. */
export function requireProgram(t: TestContext, name: string): string | undefined {
  const path = findProgram(name);
  if (path === undefined) t.skip(`SKIPPED: needs ${name}`);
  return path;
}
