import { spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { BrokerProcess, findFreePort } from "./broker-process.ts";
import { makeCertificate } from "./certificate.ts";
import { type BrokerSetup, type Peer, PLAIN_SETUP, type Presence } from "./peer.ts";

/** Debian installs it where only root's PATH looks. */
const COMMANDS = ["mosquitto", "/usr/sbin/mosquitto"];

let command = "mosquitto";

/** mosquitto from memory, with no limit to what it queues. */
export const mosquitto: Peer = {
  name: "mosquitto",
  probe: () => probe("from memory (persistence false)"),
  start: (folder, setup) => start(folder, false, setup),
};

/** The same with its persistence on, which writes every half hour and at the end. */
export const mosquittoPersistent: Peer = {
  name: "mosquitto-persistent",
  probe: () => probe("persistence true (autosave each 30 minutes, its default)"),
  start: (folder, setup) => start(folder, true, setup),
};

async function probe(where: string): Promise<Presence> {
  for (const candidate of COMMANDS) {
    const help = spawnSync(candidate, ["-h"], { encoding: "utf8" });
    const version = /mosquitto version (\S+)/.exec(help.stdout ?? "")?.[1];
    if (version === undefined) continue;
    command = candidate;
    const conditions = `${where}, max_queued_messages 0 (no limit)`;
    return {
      isPresent: true,
      version,
      conditions: `${conditions}, max_inflight_messages 256 (as many as RillMQ sends to a subscriber), set_tcp_nodelay true`,
    };
  }
  return { isPresent: false, reason: "not installed" };
}

async function start(
  folder: string,
  isPersistent: boolean,
  { transport }: BrokerSetup = PLAIN_SETUP,
): Promise<BrokerProcess> {
  const port = await findFreePort();
  const file = join(folder, "mosquitto.conf");
  const settings = [
    ...(await listeners(port, transport)),
    "allow_anonymous true",
    `persistence ${isPersistent}`,
    `persistence_location ${folder}/`,
    "max_queued_messages 0",
    // With its default of 20 it closes publishers that have more QoS 2 messages outstanding.
    "max_inflight_messages 256",
    "set_tcp_nodelay true",
    "connection_messages false",
    "log_type error",
  ];
  // Started by root it would become another user, who may not write here.
  if (isPersistent) settings.push("user root");
  if (transport === "tls") {
    const { cert, key } = makeCertificate(folder);
    settings.push(`certfile ${cert}`, `keyfile ${key}`, "user root");
  }
  await writeFile(file, `${settings.join("\n")}\n`);
  return BrokerProcess.startUntilAccepting(command, ["-c", file], port);
}

/** 2.0.11 does not start with a WebSocket listener alone, and takes no address for one. */
async function listeners(port: number, transport: BrokerSetup["transport"]): Promise<string[]> {
  if (transport !== "websocket") return [`listener ${port} 127.0.0.1`];
  const other = `listener ${await findFreePort()} 127.0.0.1`;
  return [other, `listener ${port}`, "protocol websockets"];
}
