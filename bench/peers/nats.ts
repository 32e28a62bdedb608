import { spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { BrokerProcess, findFreePort } from "./broker-process.ts";
import { makeCertificate } from "./certificate.ts";
import { type Peer, PLAIN_SETUP } from "./peer.ts";

/** Which nats-server is run, by its path; without it the one that is installed. */
const CHOSEN = process.env["NATS_SERVER"];
const COMMANDS = CHOSEN === undefined ? ["nats-server", "/usr/sbin/nats-server"] : [CHOSEN];
/** MQTT with QoS 2 came with this version. */
const QOS2_SINCE = 10;

let command = "nats-server";
let minor = 0;

/** How nats-server is called here; after it was probed. */
export const natsCommand = (): string => command;

/** nats-server's MQTT; what is not QoS 0 goes through its JetStream, in files. */
export const nats: Peer = {
  name: "nats",

  async probe() {
    for (const candidate of COMMANDS) {
      const told = spawnSync(candidate, ["-v"], { encoding: "utf8" });
      const version = /v(\d+\.(\d+)\.\S+)/.exec(told.stdout ?? "");
      if (version?.[1] === undefined) continue;
      command = candidate;
      minor = Number(version[2]);
      const conditions = "JetStream in files, one replica, sync_interval as by default";
      return { isPresent: true, version: version[1], conditions };
    }
    const reason = CHOSEN === undefined ? "not installed" : `NATS_SERVER=${CHOSEN} does not run`;
    return { isPresent: false, reason };
  },

  cannot(_setup, qos) {
    return qos === 2 && minor < QOS2_SINCE ? "no QoS 2 before version 2.10" : undefined;
  },

  async start(folder, { transport } = PLAIN_SETUP) {
    const [client, mqtt, web] = [await findFreePort(), await findFreePort(), await findFreePort()];
    const { cert, key } =
      transport === "tls" ? makeCertificate(folder) : { cert: undefined, key: undefined };
    const settings = {
      server_name: "bench",
      listen: `127.0.0.1:${client}`,
      max_connections: 65_536,
      jetstream: { store_dir: join(folder, "jetstream") },
      mqtt: {
        listen: `127.0.0.1:${mqtt}`,
        ...(cert === undefined ? {} : { tls: { cert_file: cert, key_file: key } }),
      },
      ...(transport === "websocket"
        ? { websocket: { listen: `127.0.0.1:${web}`, no_tls: true } }
        : {}),
    };
    const file = join(folder, "nats.conf");
    await writeFile(file, JSON.stringify(settings));
    const port = transport === "websocket" ? web : mqtt;
    return BrokerProcess.startUntilAccepting(command, ["-c", file], port);
  },
};
