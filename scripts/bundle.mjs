// Makes the broker one small folder: `npm run bundle -- [--arch x64|arm64] [--out FOLDER]`, into dist-bundle/ unless told otherwise; or, with
// `--installed`, what bin/rillmq.js runs beside node_modules, in dist/bundle/: it starts in half the time and with 15 MB less than from
// modules of their own. `--if-older` does nothing when it is younger than all sources.
//
//   rillmq.js                    what to run; ESM for Node.js 20 and later
//   config-worker.js             the thread of a broker that reads its configuration
//   rillmq-….js                  the rest of src/ and of the packages it uses, in parts that are loaded when they are needed
//   lmdb.node                    LMDB; N-API, so one file for every Node.js version
//   fs-native-extensions.node    the lock of the data folder
//   package.json                 name, version, type
//   LICENSE NOTICE THIRD-PARTY-LICENSES
//
// The two native files are loaded from beside rillmq.js. Those of another architecture than this machine's come from the same package
// registry as everything else, at the locked version.
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, Option } from "commander";
import { build } from "esbuild";

const self = fileURLToPath(import.meta.url);
const root = dirname(dirname(self));
// esbuild names modules by where they really are, also when this folder is a link.
const modules = realpathSync(join(root, "node_modules"));

/** Architectures by Node.js' names. */
export const ARCHITECTURES = ["x64", "arm64"];

/** What `bin/rillmq.js` does once it has found what to run. */
const ENTRY = `#!/usr/local/bin/node
  import { run } from "./src/cli/main.ts";
  process.stdout.on("error", () => process.exit(1));
  const exitCode = await run(process.argv.slice(2));
  process.stdout.write("", () => process.exit(exitCode));
`;

/** The same beside node_modules: bin/rillmq.js does the rest. */
const INSTALLED_ENTRY = 'export { run } from "./src/cli/main.ts";';

/** What the entry `rillmq` is. */
const entryOf = (contents) => ({
  name: "the entry",
  setup(context) {
    context.onResolve({ filter: /^rillmq$/ }, () => ({ path: "rillmq.js", namespace: "entry" }));
    context.onLoad({ filter: /.*/, namespace: "entry" }, () => ({ contents, resolveDir: root }));
  },
});

/** CommonJS packages inside want \`require\`. */
const BANNER = [
  'import { createRequire as rillmqCreateRequire } from "node:module";',
  "const require = rillmqCreateRequire(import.meta.url);",
].join("\n");

/** Native speed-ups that their users do without, and what is loaded for terminals alone. */
const EXTERNAL = ["./*.node", "bufferutil", "utf-8-validate", "pino-pretty"];

/** Clients of other servers are loaded late, as they are. */
const INSTALLED = ["mqtt", "@nats-io/*"];

/** Modules that search the disk for a native file; the bundle knows where it is: `lmdb` and `fsNative` say it as modules. */
const nativeFiles = ({ lmdb, fsNative }) => ({
  name: "native files",
  setup(context) {
    const loaders = [
      {
        filter: /^node-gyp-build-optional-packages$/,
        importer: join(modules, "lmdb"),
        contents: lmdb,
      },
      {
        filter: /^\.\/binding$/,
        importer: join(modules, "fs-native-extensions"),
        contents: fsNative,
      },
      // A speed-up of a format that nothing is stored in.
      {
        filter: /^msgpackr-extract$/,
        importer: join(modules, "msgpackr"),
        contents: "module.exports = undefined;",
      },
    ];
    for (const [index, { filter, importer, contents }] of loaders.entries()) {
      const namespace = `native-${index}`;
      context.onResolve({ filter }, (args) =>
        args.importer.startsWith(importer) ? { path: args.path, namespace } : undefined,
      );
      context.onLoad({ filter: /.*/, namespace }, () => ({ contents, loader: "js" }));
    }
  },
});

/** In the small folder they lie beside the rest. */
const besideBundle = nativeFiles({
  lmdb: 'export default () => require("./lmdb.node");',
  fsNative: 'module.exports = require("./fs-native-extensions.node");',
});

/** Beside node_modules they stay in their packages. */
const inPackages = nativeFiles({
  lmdb: `import { createRequire } from "node:module";
    import { dirname } from "node:path";
    const file = require.resolve("lmdb");
    export default () => createRequire(file)("node-gyp-build-optional-packages")(dirname(dirname(file)));`,
  fsNative: `const { dirname, join } = require("node:path");
    const folder = join(dirname(require.resolve("fs-native-extensions")), "prebuilds");
    module.exports = require(join(folder, process.platform + "-" + process.arch, "fs-native-extensions.node"));`,
});

/** Texts of mistakes in fifty languages: ours are English. A tenth of the file, and all of it is kept in memory. */
const englishAlone = {
  name: "one language for zod",
  setup(context) {
    const filter = /zod\/v4\/locales\/index\.js$/;
    const contents = 'export { default as en } from "./en.js";';
    context.onLoad({ filter }, (args) => ({ contents, resolveDir: dirname(args.path) }));
  },
};

/**
 * As a module of ES, node:http reads all its exports when it is imported, also the late ones of WebSocket, and with them Node.js 22 and
 * later load a whole HTTP client: 6 MiB for the broker, and as much again for each probe. As a CommonJS module it does not.
 */
const lateHttp = {
  name: "node:http without its late exports",
  setup(context) {
    context.onResolve({ filter: /^node:http$/ }, ({ path, kind }) =>
      kind === "require-call" ? undefined : { path, namespace: "late" },
    );
    context.onLoad({ filter: /.*/, namespace: "late" }, ({ path }) => ({
      contents: `module.exports = require(${JSON.stringify(path)});`,
    }));
  },
};

const readJson = (...path) => JSON.parse(readFileSync(join(...path), "utf8"));

/** The package that a bundled file is from, as a folder; undefined: it is ours. */
function packageFolderOf(input) {
  const match = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input);
  return match?.[1] === undefined ? undefined : join(root, match[1]);
}

/** The licences of all packages inside, as their authors wrote them. */
function thirdPartyLicenses(inputs) {
  const folders = new Set(inputs.map(packageFolderOf).filter((folder) => folder !== undefined));
  const texts = [...folders].sort().map((folder) => {
    const { name, version, license } = readJson(folder, "package.json");
    const files = readdirSync(folder).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file));
    const texts = files.map((file) => readFileSync(join(folder, file), "utf8").trim());
    const title = `${name} ${version} (${license ?? "see its text"})`;
    return [title, "=".repeat(title.length), ...texts].join("\n\n");
  });
  return `${texts.join("\n\n\n")}\n`;
}

/** Unpacks one file of a registry package to a path. */
function fetchFromPackage(name, version, file, to) {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-pack-"));
  try {
    const args = ["pack", "--silent", "--pack-destination", folder, `${name}@${version}`];
    const packed = execFileSync("npm", args, { cwd: folder, encoding: "utf8" }).trim();
    const archive = join(folder, packed.split("\n").at(-1) ?? "");
    execFileSync("tar", ["-xzf", archive, "-C", folder, `package/${file}`]);
    copyFileSync(join(folder, "package", file), to);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** LMDB's prebuilt library: installed for this machine, fetched once for another. */
function copyLmdb(arch, to) {
  const name = `@lmdb/lmdb-linux-${arch}`;
  const file = "node.napi.glibc.node";
  const installed = join(modules, name, file);
  if (existsSync(installed)) {
    copyFileSync(installed, to);
    return;
  }
  const version = readJson(modules, "lmdb", "package.json").optionalDependencies[name];
  const cached = join(root, "dist", "native", `${name.replace("/", "-")}-${version}-${file}`);
  if (!existsSync(cached)) {
    mkdirSync(dirname(cached), { recursive: true });
    const partial = `${cached}.${process.pid}`;
    fetchFromPackage(name, version, file, partial);
    renameSync(partial, cached);
  }
  copyFileSync(cached, to);
}

function newFolderFor(out) {
  const folder = `${out}.${process.pid}.new`;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** What both builds have in common. */
const COMMON = {
  absWorkingDir: root,
  bundle: true,
  platform: "node",
  target: "node20",
  format: "esm",
  minifySyntax: true,
  legalComments: "none",
  banner: { js: BANNER },
  logLevel: "warning",
};

async function buildInto(folder, options) {
  // One file, because it is loaded once, in a thread that then ends: src/cli/read-in-worker.ts.
  await build({
    ...COMMON,
    outdir: folder,
    entryPoints: { "config-worker": "src/cli/config-worker.ts" },
    minifyWhitespace: true,
    external: options.external,
    plugins: [englishAlone],
  });
  return build({
    ...COMMON,
    outdir: folder,
    entryPoints: { rillmq: "rillmq" },
    // Split where src/ loads late: text that is not run is not kept in memory, least of all by a probe.
    splitting: true,
    chunkNames: "rillmq-[hash]",
    metafile: true,
    ...options,
  });
}

/**
 * esbuild leaves some comments inside of classes as they are, and escapes everything else. One "…" in one of them, and V8 keeps two bytes for
 * each character of the file: 0.9 MB more for the broker.
 */
function makeAscii(folder) {
  for (const name of readdirSync(folder)) {
    const file = join(folder, name);
    const text = readFileSync(file, "utf8");
    const lines = text.split("\n").map((line) => {
      const isComment = /^\s*(?:\*|\/\*|\/\/)/.test(line);
      return isComment ? line.replace(/\P{ASCII}/gu, "?") : line;
    });
    writeFileSync(file, lines.join("\n"));
  }
}

/** Writes what bin/rillmq.js runs: readable, because a profile or a stack is read where it runs. */
async function bundleInstalled(out) {
  const folder = newFolderFor(out);
  await buildInto(folder, {
    external: [...INSTALLED, ...EXTERNAL],
    plugins: [entryOf(INSTALLED_ENTRY), inPackages, englishAlone, lateHttp],
  });
  makeAscii(folder);
  rmSync(out, { recursive: true, force: true });
  renameSync(folder, out);
}

/** True when nothing in src/ is younger than the bundle. */
function isFresh(out) {
  const built = statSync(join(out, "rillmq.js"), { throwIfNoEntry: false });
  if (built === undefined) return false;
  return readdirSync(join(root, "src"), { recursive: true }).every(
    (file) => statSync(join(root, "src", file)).mtimeMs <= built.mtimeMs,
  );
}

/**
 * Writes the bundle for one architecture into a folder, replacing what was there.
 * @returns what it weighs: bytes by file name
 */
export async function bundle({ arch, out }) {
  if (!ARCHITECTURES.includes(arch)) throw new Error(`no bundle for architecture ${arch}`);
  const folder = newFolderFor(out);
  const result = await buildInto(folder, {
    // All text is kept in memory while the broker runs. Functions and classes keep their names, so that the stack of a bug can be read.
    minifyWhitespace: true,
    minifyIdentifiers: true,
    keepNames: true,
    external: EXTERNAL,
    plugins: [entryOf(ENTRY), besideBundle, englishAlone, lateHttp],
  });
  copyLmdb(arch, join(folder, "lmdb.node"));
  const fsNative = join("prebuilds", `linux-${arch}`, "fs-native-extensions.node");
  copyFileSync(
    join(modules, "fs-native-extensions", fsNative),
    join(folder, "fs-native-extensions.node"),
  );
  const { name, version, license, type } = readJson(root, "package.json");
  const manifest = { name, version, license, type };
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
  for (const file of ["LICENSE", "NOTICE"]) copyFileSync(join(root, file), join(folder, file));
  const inputs = Object.keys(result.metafile.inputs);
  writeFileSync(join(folder, "THIRD-PARTY-LICENSES"), thirdPartyLicenses(inputs));
  rmSync(out, { recursive: true, force: true });
  renameSync(folder, out);
  return Object.fromEntries(
    readdirSync(out).map((file) => [file, readFileSync(join(out, file)).length]),
  );
}

async function main() {
  const values = new Command("bundle")
    .description("Makes the broker one small folder.")
    .addOption(
      new Option("--arch <arch>", "processor").choices(ARCHITECTURES).default(process.arch),
    )
    .option("--out <folder>", "where to", join(root, "dist-bundle"))
    .option("--installed", "what bin/rillmq.js runs beside node_modules, in dist/bundle/")
    .option("--if-older", "with --installed: not when it is younger than all sources")
    .addHelpText("after", "\nExits 0 when it is made, 1 when it is not, 2 on wrong usage.")
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
    .parse()
    .opts();
  if (values.installed === true) {
    const installed = join(root, "dist", "bundle");
    if (values.ifOlder !== true || !isFresh(installed)) await bundleInstalled(installed);
    return;
  }
  const out = resolve(values.out);
  const sizes = await bundle({ arch: values.arch, out });
  for (const [file, bytes] of Object.entries(sizes)) {
    process.stdout.write(`${String(Math.ceil(bytes / 1024)).padStart(7)} KiB  ${file}\n`);
  }
  process.stdout.write(`bundle for ${values.arch}: ${out}\n`);
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === self) await main();
