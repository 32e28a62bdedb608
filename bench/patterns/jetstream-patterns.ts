import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { BrokerProcess, findFreePort } from "../peers/broker-process.ts";
import type { PatternPeer } from "./pattern-peer.ts";

/** JetStream in files on one node. `syncInterval`: when it syncs; undefined: as by default, every two minutes. */
export const jetstreamPatterns = (
  command: string,
  version: string,
  syncInterval: string | undefined,
): PatternPeer => ({
  name: syncInterval === undefined ? "jetstream" : `jetstream, sync ${syncInterval}`,
  version,
  conditions: `files, one node, sync_interval ${syncInterval ?? "as by default (2 minutes)"}`,
  async start(folder) {
    const port = await findFreePort();
    const interval = syncInterval === undefined ? {} : { sync_interval: syncInterval };
    const settings = {
      server_name: "bench",
      listen: `127.0.0.1:${port}`,
      jetstream: { store_dir: join(folder, "jetstream"), ...interval },
    };
    const file = join(folder, "nats.conf");
    writeFileSync(file, JSON.stringify(settings));
    const server = await BrokerProcess.startUntilAccepting(command, ["-c", file], port);
    return {
      server,
      target: { protocol: "nats", port },
      syncs: () => undefined,
      commitSeconds: () => Promise.resolve(undefined),
    };
  },
});
