// Makes a fresh clone ready: installs the locked dependencies when they are missing or others than the lock file says.
// Costs some milliseconds when there is nothing to do.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const NODE_MINIMUM = [20, 15];

const root = dirname(dirname(fileURLToPath(import.meta.url)));

function fail(text) {
  process.stderr.write(`setup: ${text}\n`);
  process.exit(1);
}

function isNodeTooOld() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  return major < NODE_MINIMUM[0] || (major === NODE_MINIMUM[0] && minor < NODE_MINIMUM[1]);
}

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(join(root, file), "utf8")).packages ?? {};
  } catch {
    return undefined;
  }
}

/** What npm installed is what is locked; packages for other platforms may be absent. */
function isInstalled() {
  const installed = packagesOf("node_modules/.package-lock.json");
  const locked = packagesOf("package-lock.json");
  if (locked === undefined) fail("package-lock.json is missing or damaged");
  if (installed === undefined) return false;
  return Object.entries(locked).every(([path, wanted]) => {
    if (path === "") return true;
    const there = installed[path];
    if (there === undefined) return wanted.optional === true || wanted.devOptional === true;
    return there.version === wanted.version && there.integrity === wanted.integrity;
  });
}

function install() {
  process.stderr.write("setup: installing the locked dependencies (npm ci) …\n");
  const npm = process.env.npm_execpath;
  const [command, before] = npm?.endsWith(".js") ? [process.execPath, [npm]] : ["npm", []];
  const args = [...before, "ci", "--include=dev", "--no-audit", "--no-fund"];
  const result = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
    shell: command === "npm" && process.platform === "win32",
  });
  if (result.error !== undefined) fail(`npm could not be started: ${result.error.message}`);
  if (result.status !== 0) {
    process.stderr.write(`${result.stdout}${result.stderr}`);
    fail(`npm ci failed (${result.signal ?? `exit ${result.status}`})`);
  }
}

if (isNodeTooOld()) {
  fail(`Node.js ${NODE_MINIMUM.join(".")} or later is needed, this is ${process.versions.node}`);
}
if (!isInstalled()) install();
