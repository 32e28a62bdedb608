// Builds the container image: `npm run image -- --arch arm64|amd64 [--base IMAGE] [--tag NAME]`, with buildah.
//
// With `--base debian` (what is taken when a first look says that base images cannot be pulled) the base is put together from what package
// registries have: Debian's libc6, libgcc-s1 and libstdc++6, a user, and Node.js as `node-linux-ARCH` of npm.
// `--layout FOLDER` only lays out what the image adds to its base, for the build stage of Dockerfile.arm64.
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, Option } from "commander";
import { bundle } from "./bundle.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Architectures by the names of images and Debian; Node.js' own beside them. */
const NODE_ARCH = { amd64: "x64", arm64: "arm64" };
/** Of the line that Dockerfile.arm64 names. */
const NODE_LINE = "24";
const DEBIAN_PACKAGES = ["libc6", "libgcc-s1", "libstdc++6"];
/** Same as in Dockerfile.arm64 and k3s/. */
const USER_ID = 10001;
const MIB = 1_048_576;

function fail(text) {
  process.stderr.write(`image: ${text}\n`);
  process.exit(1);
}

const say = (text) => process.stdout.write(`${text}\n`);

function output(program, args, options = {}) {
  const result = spawnSync(program, args, {
    encoding: "utf8",
    maxBuffer: 64 * MIB,
    ...options,
  });
  if (result.error !== undefined) fail(`${program}: ${result.error.message}`);
  if (result.status !== 0) {
    fail(`${program} ${args.join(" ")} failed:\n${result.stdout}${result.stderr}`);
  }
  return result.stdout;
}

const isInstalled = (program) => spawnSync(program, ["--version"]).error === undefined;

/** What the image adds to its base: opt/, usr/ and an empty data/. */
async function layOut(arch, out) {
  rmSync(out, { recursive: true, force: true });
  const home = join(out, "opt", "rillmq");
  mkdirSync(home, { recursive: true });
  await bundle({ arch: NODE_ARCH[arch], out: join(home, "bin") });
  // The program looks for its version above its own folder.
  copyFileSync(join(home, "bin", "package.json"), join(home, "package.json"));
  for (const file of ["LICENSE", "NOTICE", "THIRD-PARTY-LICENSES"]) {
    renameSync(join(home, "bin", file), join(home, file));
  }
  chmodSync(join(home, "bin", "rillmq.js"), 0o755);
  mkdirSync(join(out, "usr", "local", "bin"), { recursive: true });
  symlinkSync("/opt/rillmq/bin/rillmq.js", join(out, "usr", "local", "bin", "rillmq"));
  mkdirSync(join(out, "data"), { mode: 0o750 });
}

/** Debian's packages for an architecture, unpacked into a folder. */
function unpackDebian(arch, to, scratch) {
  // Lists of its own, so that the machine's settings stay as they are.
  const state = join(scratch, "apt");
  for (const folder of ["lists/partial", "cache/archives/partial"]) {
    mkdirSync(join(state, folder), { recursive: true });
  }
  writeFileSync(join(state, "status"), "");
  const options = [
    ["APT::Architecture", arch],
    ["APT::Architectures", arch],
    ["Dir::State::lists", join(state, "lists")],
    ["Dir::State::status", join(state, "status")],
    ["Dir::Cache", join(state, "cache")],
    ["APT::Sandbox::User", "root"],
  ].flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  output("apt-get", [...options, "update", "-qq"]);
  output("apt-get", [...options, "download", "-qq", ...DEBIAN_PACKAGES], { cwd: scratch });
  for (const file of readdirSync(scratch).filter((name) => name.endsWith(".deb"))) {
    output("dpkg", ["-x", join(scratch, file), to]);
  }
  // Licences stay.
  output("find", [join(to, "usr", "share"), "-type", "f", "!", "-name", "copyright", "-delete"]);
  output("sh", ["-c", `rm -rf ${join(to, "usr/lib")}/*/gconv ${join(to, "usr/sbin")}`]);
}

/** Node.js for an architecture: one program, without its symbols where the tool for that is there. */
function unpackNode(arch, to, scratch) {
  const name = `node-linux-${NODE_ARCH[arch]}`;
  output("npm", ["pack", "--silent", "--pack-destination", scratch, `${name}@${NODE_LINE}`], {
    cwd: scratch,
  });
  const archive = readdirSync(scratch).find((file) => file.startsWith(`${name}-`));
  if (archive === undefined) fail(`npm pack ${name} left nothing`);
  output("tar", [
    "-xzf",
    join(scratch, archive),
    "-C",
    scratch,
    "package/bin/node",
    "package/LICENSE",
  ]);
  const node = join(to, "usr", "local", "bin", "node");
  mkdirSync(dirname(node), { recursive: true });
  copyFileSync(join(scratch, "package", "bin", "node"), node);
  chmodSync(node, 0o755);
  const license = join(to, "usr", "share", "doc", "nodejs");
  mkdirSync(license, { recursive: true });
  copyFileSync(join(scratch, "package", "LICENSE"), join(license, "copyright"));
  const strip = `${{ amd64: "x86_64", arm64: "aarch64" }[arch]}-linux-gnu-strip`;

  if (isInstalled(strip)) output(strip, [node]);
}

/** A folder to be the root of a base image. Kept between builds in dist/. */
function assembleBase(arch) {
  const base = join(root, "dist", `image-base-${arch}-node${NODE_LINE}`);
  if (existsSync(base)) return base;
  for (const program of ["apt-get", "dpkg"]) {
    if (!isInstalled(program))
      fail(`--base debian needs ${program}: build on Debian, or name a base`);
  }
  const scratch = mkdtempSync(join(tmpdir(), "rillmq-base-"));
  try {
    const partial = join(scratch, "root");
    mkdirSync(join(partial, "etc"), { recursive: true });
    unpackDebian(arch, partial, scratch);
    unpackNode(arch, partial, scratch);
    const nobody = `root:x:0:0:root:/:/sbin/nologin\nrillmq:x:${USER_ID}:${USER_ID}::/data:/sbin/nologin\n`;
    writeFileSync(join(partial, "etc", "passwd"), nobody);
    writeFileSync(join(partial, "etc", "group"), `root:x:0:\nrillmq:x:${USER_ID}:\n`);
    writeFileSync(join(partial, "etc", "nsswitch.conf"), "hosts: files dns\n");
    mkdirSync(dirname(base), { recursive: true });
    cpSync(partial, `${base}.new`, { recursive: true, verbatimSymlinks: true });
    renameSync(`${base}.new`, base);
    return base;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Makes the base an image; returns its name. */
function buildBase(arch) {
  const tag = `localhost/rillmq-base:${arch}`;
  const file = join(root, "dist", `image-base-${arch}.Dockerfile`);
  const folder = assembleBase(arch);
  writeFileSync(file, "FROM scratch\nCOPY . /\n");
  buildah(arch, ["-f", file, "-t", tag, folder]);
  return tag;
}

function buildah(arch, args) {
  const common = [
    "bud",
    "--isolation",
    "chroot",
    "--format",
    "docker",
    "--platform",
    `linux/${arch}`,
  ];
  output("buildah", [...common, ...args], { cwd: root });
}

/** Compressed size and layers, by saving the image as a registry would get it. */
function report(tag) {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-image-"));
  try {
    output("buildah", ["push", "--quiet", tag, `oci:${folder}`]);
    const read = (digest) =>
      JSON.parse(
        execFileSync("cat", [join(folder, "blobs", "sha256", digest.slice(7))], {
          encoding: "utf8",
        }),
      );
    const [{ digest }] = JSON.parse(
      execFileSync("cat", [join(folder, "index.json")], { encoding: "utf8" }),
    ).manifests;
    const { layers } = read(digest);
    for (const [index, { size }] of layers.entries()) {
      say(`layer ${index + 1}  ${(size / MIB).toFixed(1).padStart(6)} MiB compressed`);
    }
    const total = layers.reduce((sum, { size }) => sum + size, 0);
    say(`${tag}  ${(total / MIB).toFixed(1)} MiB compressed in ${layers.length} layers`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** True when the default base can be pulled: asked once, with little patience. */
function canPull(base) {
  const args = ["pull", "--quiet", "--policy", "missing", base];
  return spawnSync("buildah", args, { timeout: 20_000, stdio: "ignore" }).status === 0;
}

async function main() {
  const values = new Command("image")
    .description("Builds the container image with buildah.")
    .addOption(
      new Option("--arch <arch>", "processor")
        .choices(Object.keys(NODE_ARCH))
        .default(process.arch === "arm64" ? "arm64" : "amd64"),
    )
    .option(
      "--base <image>",
      "base image; debian: put together from packages (default: Node.js' own image when it can be pulled)",
    )
    .option("--tag <name>", "name of the image (default: localhost/rillmq:ARCH)")
    .option("--layout <folder>", "only lay out what the image adds to its base")
    .addHelpText("after", "\nExits 0 when it is built, 1 when it is not, 2 on wrong usage.")
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
    .parse()
    .opts();
  const { arch } = values;
  if (values.layout !== undefined) return layOut(arch, resolve(values.layout));
  if (!isInstalled("buildah")) {
    fail(
      "buildah is not installed; apt-get install buildah, or: docker build -f Dockerfile.arm64 .",
    );
  }
  const wanted = values.base ?? `node:${NODE_LINE}-bookworm-slim`;
  const isDebian = wanted === "debian" || (values.base === undefined && !canPull(wanted));
  if (isDebian) say("base: Debian packages and Node.js from npm");
  const base = isDebian ? buildBase(arch) : wanted;
  const layout = join(root, "dist-image", arch);
  await layOut(arch, layout);
  const data = join(layout, "data");
  if (process.getuid?.() === 0) chownSync(data, USER_ID, USER_ID);
  const tag = values.tag ?? `localhost/rillmq:${arch}`;
  const file = join(root, "Dockerfile.arm64");
  const buildArgs = ["--build-arg", "BUNDLE=prebuilt", "--build-arg", `BASE=${base}`];
  buildah(arch, ["-f", file, ...buildArgs, "-t", tag, root]);
  report(tag);
}

await main();
