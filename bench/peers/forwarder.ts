import { join } from "node:path";
import { NoCompilerError, nativeProgram } from "../suite/native-program.ts";
import { BrokerProcess } from "./broker-process.ts";
import type { BrokerSetup, Peer, Presence } from "./peer.ts";

/** The trivial forwarder in C: one read and one write per message. */
export const forwarder: Peer = {
  name: "forwarder",
  probe: () => probe("in C, one read and one write per message, knows no protocol beyond that"),
  cannot: onlyTcp,
  start: () => BrokerProcess.startUntilReadyLine(nativeProgram("forwarder"), []),
};

/** The same program as a reference for durable ingest. */
export const appendOnlyFile: Peer = {
  name: "append-only-file",
  probe: () => probe("in C, group commit: one write and one fdatasync, then the acknowledgements"),
  cannot: onlyTcp,
  start: (folder) =>
    BrokerProcess.startUntilReadyLine(nativeProgram("forwarder"), [join(folder, "file")]),
};

async function probe(conditions: string): Promise<Presence> {
  try {
    nativeProgram("forwarder");
    return { isPresent: true, version: "of this bench", conditions };
  } catch (error) {
    if (error instanceof NoCompilerError) return { isPresent: false, reason: error.message };
    throw error;
  }
}

function onlyTcp({ transport }: BrokerSetup, qos: 0 | 1 | 2): string | undefined {
  if (transport !== "tcp") return "speaks only plain TCP";
  return qos === 2 ? "knows no QoS 2" : undefined;
}
