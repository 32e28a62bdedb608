import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { BrokerProcess, findFreePort } from "../peers/broker-process.ts";
import { RILLMQ_COMMAND, rillmq } from "../peers/rillmq.ts";
import type { PatternPeer, RunningPeer } from "./pattern-peer.ts";
import { syncClock } from "./sync-clock.ts";

/**
 * RillMQ over the native protocol, its store in LMDB.
 * @param nodeOptions for the node that runs it, a profiler's for instance
 */
export async function startRillmqPatterns(
  folder: string,
  nodeOptions: readonly string[] = [],
): Promise<RunningPeer> {
  const http = await findFreePort();
  const file = join(folder, "rillmq.yaml");
  const settings = {
    data: join(folder, "data"),
    http: `127.0.0.1:${http}`,
    listeners: [{ url: "rill://127.0.0.1:0" }],
    log: { level: "warn" },
  };
  writeFileSync(file, JSON.stringify(settings));
  const clock = syncClock(folder);
  const args = [...nodeOptions, RILLMQ_COMMAND, "serve", "--config", file];
  const server = await BrokerProcess.startUntilReadyLine(process.execPath, args, clock?.env);
  return {
    server,
    target: { protocol: "rill", port: server.port },
    syncs: () => clock?.read(),
    async commitSeconds() {
      const response = await fetch(`http://127.0.0.1:${http}/metrics`);
      const found = /^rillmq_flush_seconds_sum(?:\{[^}]*\})? (\S+)$/m.exec(await response.text());
      return found === null ? undefined : Number(found[1]);
    },
  };
}

/** RillMQ, as the bench has it. */
export async function rillmqPatterns(): Promise<PatternPeer> {
  const probe = await rillmq.probe();
  return {
    name: "rillmq",
    version: probe.isPresent ? probe.version : "",
    conditions: `${probe.isPresent ? probe.conditions : probe.reason}; an answer means on disk`,
    start: (folder) => startRillmqPatterns(folder),
  };
}
