#!/usr/bin/env node
// Runs what is built in dist/ (the bundle, or the modules that TypeScript made), or src/ through tsx while that is missing or older than src/.
import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { setFlagsFromString } from "node:v8";

// For a broker, which stays: while it is loaded the young generation does not grow, and nothing is compiled by the optimizing compiler, whose
// 4 MB of machine code an idle broker does not need. src/main.ts takes both back.
if (process.argv[2] === "serve") {
  setFlagsFromString("--semi-space-growth-factor=1");
  setFlagsFromString("--no-opt");
}

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const src = join(root, "src");
const dist = join(root, "dist", "src");
const bundle = join(root, "dist", "bundle", "rillmq.js");

function fail(text) {
  process.stderr.write(`rillmq: ${text}\n`);
  process.exit(1);
}

/** The bundle is younger than every source; in an installed package there are no sources. */
function isBundled() {
  const made = statSync(bundle, { throwIfNoEntry: false });
  if (made === undefined) return false;
  if (!existsSync(src)) return true;
  return readdirSync(src, { recursive: true })
    .filter((file) => file.endsWith(".ts"))
    .every((file) => statSync(join(src, file)).mtimeMs <= made.mtimeMs);
}

/** Every source has a younger result; in an installed package there are no sources. */
function isBuilt() {
  if (!existsSync(join(dist, "cli", "main.js"))) return false;
  if (!existsSync(src)) return true;
  return readdirSync(src, { recursive: true })
    .filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts")) // declarations have no result
    .every((file) => {
      const built = statSync(join(dist, file.replace(/ts$/, "js")), { throwIfNoEntry: false });
      return built !== undefined && built.mtimeMs >= statSync(join(src, file)).mtimeMs;
    });
}

async function load() {
  if (!existsSync(join(root, "node_modules")) && existsSync(src)) {
    fail("its dependencies are not installed; run: node scripts/setup.mjs");
  }
  if (isBundled()) return import(pathToFileURL(bundle).href);
  if (isBuilt()) return import(pathToFileURL(join(dist, "cli", "main.js")).href);
  if (!existsSync(src)) fail("this package is incomplete: neither dist/ nor src/ is there");
  try {
    const { register } = await import("tsx/esm/api");
    register();
  } catch {
    fail("not built, and tsx is not installed; run: node scripts/setup.mjs, or npm run build");
  }
  return import(pathToFileURL(join(src, "cli", "main.ts")).href);
}

// `rillmq sub | head`: the reader has gone.
process.stdout.on("error", () => process.exit(1));

const { run } = await load();
const exitCode = await run(process.argv.slice(2));
// What was written first, then the end, whatever may still be open.
process.stdout.write("", () => process.exit(exitCode));
