// Runs the tests: `npm test`, or `npm test -- uplink codec` for the files whose paths contain one of the words.
//
// The files are named one by one and counted, because a runner that finds no file ends with 0. What was skipped is listed with its reason;
// with RILLMQ_REQUIRE_ALL=1 a skipped test is a failure.
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { fileURLToPath } from "node:url";

const FILES_AT_A_TIME = 2;
const FILE_TIMEOUT_MS = 10 * 60_000;
const INNER = "--inner";

const self = fileURLToPath(import.meta.url);
const root = dirname(dirname(self));

/** The test files whose path has one of the words; all of them without words. */
function testFiles(words) {
  const folders = ["test/unit", "test/property", "test/conformance", "test/integration"].flatMap(
    (folder) => {
      try {
        const inside = readdirSync(join(root, folder), { recursive: true });
        return inside.map((file) => join(folder, file));
      } catch {
        return [];
      }
    },
  );
  const top = readdirSync(join(root, "test")).map((file) => join("test", file));
  return [...top, ...folders]
    .filter((file) => file.endsWith(".test.ts"))
    .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
    .sort()
    .map((file) => join(root, file));
}

/** The reasons of skipped tests with their numbers, one line each. */
function skippedLines(reasons) {
  const counts = new Map();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts].map(
    ([reason, count]) => `skipped: ${reason} (${count} ${count === 1 ? "test" : "tests"})`,
  );
}

async function runFiles(files) {
  const isAllRequired = process.env.RILLMQ_REQUIRE_ALL === "1";
  // The broker refuses variables that are no settings, and tests start brokers.
  delete process.env.RILLMQ_REQUIRE_ALL;
  const ran = new Set();
  const skipped = [];
  let failures = 0;
  const events = run({ files, concurrency: FILES_AT_A_TIME, timeout: FILE_TIMEOUT_MS });
  const note = (event) => {
    // A file without tests is reported as a test with the file's name.
    if (event.file !== undefined && !event.name.endsWith(".test.ts")) ran.add(event.file);
    if (event.skip !== undefined && event.skip !== false) {
      skipped.push(typeof event.skip === "string" && event.skip !== "" ? event.skip : "no reason");
    }
  };
  events.on("test:pass", note);
  events.on("test:fail", (event) => {
    failures++;
    note(event);
  });
  const report = events.compose(spec);
  for await (const text of report) process.stdout.write(text);
  for (const line of skippedLines(skipped)) process.stdout.write(`${line}\n`);
  const missing = files.filter((file) => !ran.has(file));
  for (const file of missing) process.stdout.write(`no test ran: ${relative(root, file)}\n`);
  process.stdout.write(`${files.length - missing.length} of ${files.length} test files ran\n`);
  const isComplete = missing.length === 0 && !(isAllRequired && skipped.length > 0);
  return failures === 0 && isComplete ? 0 : 1;
}

/** Once more, with tsx for this process and for the processes of the files. */
function restart(args) {
  const child = spawn(process.execPath, ["--import", "tsx", self, INNER, ...args], {
    cwd: root,
    stdio: "inherit",
  });
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
  child.on("exit", (code) => process.exit(code ?? 1));
}

const [first, ...rest] = process.argv.slice(2);
if (first === INNER) {
  const files = testFiles(rest);
  if (files.length === 0) {
    process.stderr.write(`no test file has ${rest.join(" or ")} in its path\n`);
    process.exitCode = 1;
  } else {
    process.exitCode = await runFiles(files);
  }
} else if (process.argv.includes("--help") || process.argv.includes("-h")) {
  process.stdout.write(
    "npm test [-- WORD…]  runs the test files whose paths have one of the words, all without\n\n" +
      "Exits 0 when all passed, 1 when a test failed, a file ran no test or none has the word.\n" +
      "RILLMQ_REQUIRE_ALL=1: a test that is skipped is a failure.\n",
  );
} else {
  restart(process.argv.slice(2));
}
