import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { BrokerProcess } from "./broker-process.ts";
import { makeCertificate } from "./certificate.ts";
import { type Peer, PLAIN_SETUP } from "./peer.ts";
import { versionOf } from "./rillmq.ts";

const require = createRequire(import.meta.url);

/** aedes in a process of its own, from memory. */
export const aedes: Peer = {
  name: "aedes",

  async probe() {
    const version = installedVersion();
    if (version === undefined) return { isPresent: false, reason: "not installed" };
    const conditions = "from memory, concurrency 0, noDelay, on Node";
    return { isPresent: true, version, conditions };
  },

  start(folder, { transport } = PLAIN_SETUP) {
    // Handed over as text: through tsx it would carry some 40 MB that are not its own.
    const source = readFileSync(join(import.meta.dirname, "aedes-broker.ts"), "utf8");
    const args = ["--input-type=module", "--eval", source, "--", transport];
    if (transport === "tls") {
      const { cert, key } = makeCertificate(folder);
      args.push(cert, key);
    }
    return BrokerProcess.startUntilReadyLine(process.execPath, args);
  },
};

function installedVersion(): string | undefined {
  try {
    // Its package.json cannot be resolved, but stands next to its main file.
    const file = join(require.resolve("aedes"), "..", "package.json");
    return versionOf(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return undefined;
  }
}
