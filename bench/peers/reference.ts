import { join } from "node:path";
import { BrokerProcess } from "./broker-process.ts";
import type { Peer } from "./peer.ts";

/** No broker: what the load generator can do against nearly nothing. For `selftest`. */
export const reference: Peer = {
  name: "reference",

  async probe() {
    const conditions = "walks fixed headers, copies runs of packets, on Node through tsx";
    return { isPresent: true, version: process.version, conditions };
  },

  start() {
    const script = join(import.meta.dirname, "reference-forwarder.ts");
    return BrokerProcess.startUntilReadyLine(process.execPath, [...process.execArgv, script]);
  },
};
