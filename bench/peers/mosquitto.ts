import { spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { BrokerProcess, findFreePort } from "./broker-process.ts";
import type { Peer } from "./peer.ts";

/** Debian installs it where only root's PATH looks. */
const COMMANDS = ["mosquitto", "/usr/sbin/mosquitto"];

let command = "mosquitto";

/** mosquitto from memory, with no limit to what it queues. */
export const mosquitto: Peer = {
  name: "mosquitto",

  async probe() {
    for (const candidate of COMMANDS) {
      const help = spawnSync(candidate, ["-h"], { encoding: "utf8" });
      const version = /mosquitto version (\S+)/.exec(help.stdout ?? "")?.[1];
      if (version === undefined) continue;
      command = candidate;
      const conditions = "from memory (persistence false), max_queued_messages 0 (no limit)";
      return {
        isPresent: true,
        version,
        conditions: `${conditions}, max_inflight_messages 20 (its default), set_tcp_nodelay true`,
      };
    }
    return { isPresent: false, reason: "not installed" };
  },

  async start(folder) {
    const port = await findFreePort();
    const file = join(folder, "mosquitto.conf");
    const settings = [
      `listener ${port} 127.0.0.1`,
      "allow_anonymous true",
      "persistence false",
      "max_queued_messages 0",
      "set_tcp_nodelay true",
      "connection_messages false",
      "log_type error",
    ];
    await writeFile(file, `${settings.join("\n")}\n`);
    return BrokerProcess.startUntilAccepting(command, ["-c", file], port);
  },
};
