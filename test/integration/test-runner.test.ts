import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";

const ROOT = join(import.meta.dirname, "..", "..");
const folder = mkdtempSync(join(tmpdir(), "rillmq-runner-"));
after(() => rmSync(folder, { recursive: true, force: true }));

let trees = 0;

/** Runs `scripts/run-tests.mjs` over these test files, in a tree of their own. */
function runTests(
  files: Readonly<Record<string, string>>,
  words: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
): { exitCode: number | null; output: string } {
  const tree = join(folder, String(++trees));
  mkdirSync(join(tree, "test"), { recursive: true });
  cpSync(join(ROOT, "scripts", "run-tests.mjs"), join(tree, "scripts", "run-tests.mjs"));
  symlinkSync(join(ROOT, "node_modules"), join(tree, "node_modules"));
  writeFileSync(join(tree, "package.json"), '{ "type": "module" }');
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), `import { test } from "node:test";\n${text}`);
  }
  const { NODE_TEST_CONTEXT: _context, RILLMQ_REQUIRE_ALL: _all, ...plain } = process.env;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(tree, "scripts", "run-tests.mjs"), ...words],
    { encoding: "utf8", timeout: 30_000, env: { ...plain, ...env } },
  );
  return { exitCode: status, output: stdout + stderr };
}

const GOOD = 'test("is fine", () => { const x: number = 1; void x; });';
const BAD = 'test("is not", () => { throw new Error("no"); });';
const SKIPPED = 'test("waits", { skip: "needs a moon" }, () => {});';

test("the runner finds tests in all folders and ends with 0 when they pass", () => {
  const { exitCode, output } = runTests({
    "test/top.test.ts": GOOD,
    "test/unit/deep/er/a.test.ts": GOOD,
    "test/property/b.test.ts": GOOD,
    "test/integration/c.test.ts": GOOD,
    "test/integration/fixture.ts": BAD,
  });
  assert.equal(exitCode, 0, output);
  assert.match(output, /tests 4\n[\s\S]*4 of 4 test files ran\n$/);
});

test("the runner ends with 1 when a test fails, a file breaks or a file has no test", () => {
  for (const text of [BAD, 'throw new Error("broken");', "void test;"]) {
    const { exitCode, output } = runTests({ "test/a.test.ts": GOOD, "test/b.test.ts": text });
    assert.equal(exitCode, 1, output);
  }
});

test("words choose files by their path, and no such file is a failure", () => {
  const files = { "test/unit/uplink/a.test.ts": GOOD, "test/unit/codec.test.ts": BAD };
  const chosen = runTests(files, ["uplink"]);
  assert.equal(chosen.exitCode, 0, chosen.output);
  assert.match(chosen.output, /1 of 1 test files ran/);
  assert.equal(runTests(files, ["nothing"]).exitCode, 1);
});

test("what was skipped is listed with its reason, and fails when everything is required", () => {
  const files = { "test/a.test.ts": GOOD + SKIPPED + SKIPPED };
  const lenient = runTests(files);
  assert.equal(lenient.exitCode, 0, lenient.output);
  assert.match(lenient.output, /^skipped: needs a moon \(2 tests\)$/m);
  const strict = runTests(files, [], { RILLMQ_REQUIRE_ALL: "1" });
  assert.equal(strict.exitCode, 1, strict.output);
});
