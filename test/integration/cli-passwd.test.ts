import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { BrokerHome } from "../support/broker-process.ts";
import { type CliResult, runCli } from "./cli-process.ts";

const folder = mkdtempSync(join(tmpdir(), "rillmq-passwd-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const BIN = join(import.meta.dirname, "..", "..", "bin", "rillmq.js");

/** Runs `rillmq passwd` with something to read. */
async function passwd(args: readonly string[], input = ""): Promise<CliResult> {
  const child = spawn(process.execPath, [BIN, "passwd", ...args], { timeout: 20_000 });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  child.stdin.end(input);
  const [code] = await once(child, "close");
  return { exitCode: typeof code === "number" ? code : undefined, stdout, stderr };
}

test("passwd makes a users file that serve lets in by", async (t) => {
  const file = join(folder, "made");
  const added = await passwd(["add", "ann", "--file", file, "--password-stdin"], "s3cret\n");
  assert.deepEqual(added, { exitCode: 0, stdout: "added ann\n", stderr: "" });
  await passwd(["add", "bob", "--file", file, "--password-stdin", "--rounds", "2"], "other");
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.ok(!readFileSync(file, "utf8").includes("s3cret"));
  const listed = await passwd(["ls", "--file", file, "--json"]);
  assert.deepEqual(JSON.parse(listed.stdout), [
    { user: "ann", scrypt: { ln: 13, r: 8, p: 1 } },
    { user: "bob", scrypt: { ln: 13, r: 8, p: 2 } },
  ]);
  const broker = await new BrokerHome(t).start({ flags: ["--users", file] });
  const url = `mqtt://127.0.0.1:${broker.port}`;
  const pub = (...args: string[]): Promise<CliResult> =>
    runCli(["pub", "--url", url, "--topic", "t", "--message", "x", ...args]);
  const right = await pub("--username", "ann", "--password", "s3cret");
  assert.equal(right.exitCode, 0, right.stderr);
  const wrong = await pub("--username", "bob", "--password", "s3cret");
  assert.equal(wrong.exitCode, 1);
  assert.match(wrong.stderr, /0x86/);
  assert.match((await pub()).stderr, /0x87/);
  assert.ok(!broker.stderr.includes("s3cret"));
});

test("passwd says what it cannot do", async () => {
  const file = join(folder, "edited");
  const exitCodeOf = async (args: readonly string[], input = ""): Promise<number | undefined> =>
    (await passwd(args, input)).exitCode;
  assert.equal(await exitCodeOf(["ls", "--file", file]), 2);
  assert.equal(await exitCodeOf(["add", "a:b", "--file", file, "--password-stdin"], "x"), 2);
  assert.equal(await exitCodeOf(["add", "a", "--file", file, "--password-stdin"], ""), 2);
  assert.equal(await exitCodeOf(["add", "a", "--file", file]), 2);
  assert.equal(await exitCodeOf(["add", "a", "--file", file, "--password-stdin"], "x"), 0);
  const changed = await passwd(["add", "a", "--file", file, "--password-stdin", "--json"], "y");
  assert.deepEqual(JSON.parse(changed.stdout), { user: "a", changed: true });
  assert.equal(await exitCodeOf(["rm", "b", "--file", file]), 1);
  assert.equal((await passwd(["rm", "a", "--file", file])).stdout, "removed a\n");
  writeFileSync(file, "damaged\n", { mode: 0o644 });
  assert.equal(await exitCodeOf(["rm", "a", "--file", file]), 2);
  assert.equal(readFileSync(file, "utf8"), "damaged\n");
});
