import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BrokerProcess } from "./broker-process.ts";
import { makeCertificate } from "./certificate.ts";
import { type BrokerSetup, type Peer, PLAIN_SETUP } from "./peer.ts";

const ROOT = join(import.meta.dirname, "..", "..");
/** The program as it is installed. */
export const RILLMQ_COMMAND = join(ROOT, "bin", "rillmq.js");

/** Beyond the defaults, for scenarios with many connections from one address and many subscriptions per session. */
const CROWD = {
  connectionsMax: 20_000,
  connectionsPerAddressMax: 20_000,
  unauthenticatedConnectionsMax: 20_000,
  subscriptionsPerSessionMax: 100_000,
};
/** As `npm start` has it. */
const START_OPTIONS: readonly string[] = ["--max-semi-space-size=4"];
const SCHEMES = { tcp: "mqtt", tls: "mqtts", websocket: "ws" } as const;

/** RillMQ as this repository has it, with its store in LMDB: PUBACK after the flush. */
export const rillmq: Peer = {
  name: "rillmq",

  async probe() {
    if (!existsSync(RILLMQ_COMMAND))
      return { isPresent: false, reason: "bin/rillmq.js is missing" };
    return {
      isPresent: true,
      version: packageVersion(),
      conditions: `on disk (LMDB), ${START_OPTIONS.join(" ")}, ${isBuilt() ? "built" : "from its sources through tsx"}`,
    };
  },

  start: (folder, setup) => startRillmq([], RILLMQ_COMMAND, folder, setup),
};

/**
 * Starts a program that takes the command line of `rillmq`, with settings for crowds.
 * @param nodeOptions for the node that runs it, a profiler's for instance
 */
export function startRillmq(
  nodeOptions: readonly string[],
  program: string,
  folder: string,
  setup: BrokerSetup = PLAIN_SETUP,
): Promise<BrokerProcess> {
  const stream = { name: "bench", filters: ["b/#"], maxBytes: "1GiB" };
  const pair = setup.transport === "tls" ? makeCertificate(folder) : undefined;
  const settings = {
    data: join(folder, "data"),
    http: "127.0.0.1:0",
    listeners: [{ url: `${SCHEMES[setup.transport]}://127.0.0.1:0`, ...(pair && { tls: pair }) }],
    streams: setup.capturesAll ? [stream] : [],
    mqtt: CROWD,
    log: { level: "warn" },
  };
  const file = join(folder, "rillmq.yaml");
  writeFileSync(file, JSON.stringify(settings));
  const args = [...START_OPTIONS, ...nodeOptions, program, "serve", "--config", file];
  return BrokerProcess.startUntilReadyLine(process.execPath, args);
}

/** The version in this repository's package.json. */
export function packageVersion(): string {
  return versionOf(JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")));
}

/** Whether bin/rillmq.js takes dist/: it does when that is younger than every source. */
export function isBuilt(): boolean {
  const built = statSync(join(ROOT, "dist", "bundle", "rillmq.js"), { throwIfNoEntry: false });
  const sources = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" });
  const modified = sources
    .filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts"))
    .map((file) => statSync(join(ROOT, "src", file)).mtimeMs);
  return built !== undefined && built.mtimeMs >= Math.max(...modified);
}

/** The `version` of a decoded package.json, or `unknown`. */
export function versionOf(description: unknown): string {
  if (typeof description !== "object" || description === null) return "unknown";
  return "version" in description ? String(description.version) : "unknown";
}
