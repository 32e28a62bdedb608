#!/usr/bin/env node
// Runs what is built in dist/, or src/ through tsx while dist/ is missing or older than src/.
import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const src = join(root, "src");
const dist = join(root, "dist", "src");

function fail(text) {
  process.stderr.write(`rillmq: ${text}\n`);
  process.exit(1);
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
