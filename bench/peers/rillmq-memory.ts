import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";
import { type Peer, PLAIN_SETUP } from "./peer.ts";
import { packageVersion, startRillmq } from "./rillmq.ts";

const ROOT = join(import.meta.dirname, "..", "..");
/** Inside the repository, so that its packages are found; git ignores it. */
const PROGRAM = join(import.meta.dirname, "..", "results", "programs", "rillmq-memory.mjs");

/**
 * RillMQ with a store that forgets. It cannot be configured, because it would break the promise that what is
 * acknowledged is on disk; so the bench builds a program of its own in which the module of the LMDB store is replaced.
 */
export const rillmqMemory: Peer = {
  name: "rillmq-memory",

  async probe() {
    await bundle();
    const conditions = "bundled, its store replaced by one in memory that only the bench has";
    return { isPresent: true, version: packageVersion(), conditions };
  },

  start: (folder, setup = PLAIN_SETUP) => startRillmq([], PROGRAM, folder, setup),
};

/** Made anew for each bench: sources may have changed. */
async function bundle(): Promise<void> {
  mkdirSync(join(PROGRAM, ".."), { recursive: true });
  await build({
    entryPoints: [join(import.meta.dirname, "rillmq-memory-main.ts")],
    outfile: PROGRAM,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    packages: "external",
    define: { "import.meta.dirname": JSON.stringify(join(ROOT, "src")) },
    plugins: [forgetful],
    logLevel: "silent",
  });
}

const forgetful: Plugin = {
  name: "forgetful",
  setup(made) {
    const path = join(import.meta.dirname, "forgetful-store.ts");
    made.onResolve({ filter: /\/lmdb-store\.ts$/ }, () => ({ path }));
  },
};
