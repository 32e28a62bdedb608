import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

const ROOT = join(import.meta.dirname, "..", "..");
const folder = mkdtempSync(join(tmpdir(), "rillmq-program-"));
after(() => rmSync(folder, { recursive: true, force: true }));

let trees = 0;

interface Tree {
  readonly isInstalled: boolean;
  /** Age of the files in minutes; undefined: they are not there. */
  readonly srcAge?: number;
  readonly distAge?: number;
  readonly bundleAge?: number;
}

/** A package whose command only says where it was run from and returns 7. */
function makeTree({ isInstalled, srcAge, distAge, bundleAge }: Tree): string {
  const tree = join(folder, String(++trees));
  mkdirSync(join(tree, "bin"), { recursive: true });
  cpSync(join(ROOT, "bin", "rillmq.js"), join(tree, "bin", "rillmq.js"));
  writeFileSync(join(tree, "package.json"), '{ "type": "module" }');
  if (isInstalled) symlinkSync(join(ROOT, "node_modules"), join(tree, "node_modules"));
  const add = (path: string, text: string, ageMinutes: number): void => {
    const file = join(tree, path);
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(file, text);
    const seconds = Date.now() / 1_000 - 60 * ageMinutes;
    utimesSync(file, seconds, seconds);
  };
  const program = (from: string): string =>
    `export const run = async (argv) => { process.stdout.write("${from} " + argv.join(" ")); return 7; };`;
  if (srcAge !== undefined) {
    add("src/cli/main.ts", program("src").replace("(argv)", "(argv: string[])"), srcAge);
    // A declaration has no result in dist/.
    add("src/lib/native.d.ts", "export {};", srcAge);
  }
  if (distAge !== undefined) add("dist/src/cli/main.js", program("dist"), distAge);
  if (bundleAge !== undefined) add("dist/bundle/rillmq.js", program("bundle"), bundleAge);
  return tree;
}

function runTree(tree: Tree): { exitCode: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(makeTree(tree), "bin", "rillmq.js"), "a", "b"],
    { encoding: "utf8", timeout: 20_000 },
  );
  return { exitCode: status, stdout, stderr };
}

test("the program runs what is built while that is younger than its sources", () => {
  const { exitCode, stdout } = runTree({ isInstalled: true, srcAge: 2, distAge: 1 });
  assert.deepEqual([exitCode, stdout], [7, "dist a b"]);
});

test("the program runs its sources when nothing is built or something older", () => {
  for (const dist of [{}, { distAge: 2 }]) {
    const { exitCode, stdout } = runTree({ isInstalled: true, srcAge: 1, ...dist });
    assert.deepEqual([exitCode, stdout], [7, "src a b"]);
  }
});

test("the program runs the bundle while that is younger than its sources, and in an installed package", () => {
  const fresh = runTree({ isInstalled: true, srcAge: 2, distAge: 1, bundleAge: 1 });
  assert.deepEqual([fresh.exitCode, fresh.stdout], [7, "bundle a b"]);
  const old = runTree({ isInstalled: true, srcAge: 2, distAge: 1, bundleAge: 3 });
  assert.deepEqual([old.exitCode, old.stdout], [7, "dist a b"]);
  const installed = runTree({ isInstalled: false, bundleAge: 1 });
  assert.deepEqual([installed.exitCode, installed.stdout], [7, "bundle a b"]);
});

test("an installed package has no sources and needs none", () => {
  const { exitCode, stdout } = runTree({ isInstalled: false, distAge: 1 });
  assert.deepEqual([exitCode, stdout], [7, "dist a b"]);
});

test("without dependencies the program says how to install them", () => {
  const { exitCode, stdout, stderr } = runTree({ isInstalled: false, srcAge: 1 });
  assert.deepEqual([exitCode, stdout], [1, ""]);
  assert.match(stderr, /^rillmq: .*not installed; run: node scripts\/setup\.mjs\n$/);
});

test("a package with neither sources nor build says that it is incomplete", () => {
  const { exitCode, stderr } = runTree({ isInstalled: true });
  assert.equal(exitCode, 1);
  assert.match(stderr, /^rillmq: this package is incomplete/);
});
