import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { BrokerProcess } from "./broker-process.ts";
import type { Peer } from "./peer.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const COMMAND = join(ROOT, "bin", "rillmq.js");

/** RillMQ as this repository has it, with its store in LMDB: PUBACK after the flush. */
export const rillmq: Peer = {
  name: "rillmq",

  async probe() {
    if (!existsSync(COMMAND)) return { isPresent: false, reason: "bin/rillmq.js is missing" };
    const description: unknown = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    return {
      isPresent: true,
      version: versionOf(description),
      conditions: `on disk (LMDB), ${isBuilt() ? "built" : "from its sources through tsx"}`,
    };
  },

  start(folder) {
    const args = ["--data", join(folder, "data"), "--listen", "mqtt://127.0.0.1:0"];
    const http = ["--http", "127.0.0.1:0"];
    return BrokerProcess.startUntilReadyLine(process.execPath, [
      COMMAND,
      "serve",
      ...args,
      ...http,
    ]);
  },
};

/** Whether bin/rillmq.js takes dist/: it does when that is younger than every source. */
function isBuilt(): boolean {
  const built = statSync(join(ROOT, "dist", "src", "cli", "main.js"), { throwIfNoEntry: false });
  const sources = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" });
  const modified = sources
    .filter((file) => file.endsWith(".ts"))
    .map((file) => statSync(join(ROOT, "src", file)).mtimeMs);
  return built !== undefined && built.mtimeMs >= Math.max(...modified);
}

/** The `version` of a decoded package.json, or `unknown`. */
export function versionOf(description: unknown): string {
  if (typeof description !== "object" || description === null) return "unknown";
  return "version" in description ? String(description.version) : "unknown";
}
