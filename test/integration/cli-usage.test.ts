import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { runCli } from "./cli-process.ts";

const folder = mkdtempSync(join(tmpdir(), "rillmq-cli-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const COMMANDS = [
  [],
  ["serve"],
  ["pub"],
  ["sub"],
  ["status"],
  ["config"],
  ["config", "check"],
  ["config", "print"],
  ["config", "schema"],
];

test("--help works after every command and lists the exit codes", async () => {
  for (const command of COMMANDS) {
    const { exitCode, stdout, stderr } = await runCli([...command, "--help"]);
    const name = ["rillmq", ...command].join(" ");
    assert.equal(exitCode, 0, name);
    assert.ok(stdout.startsWith(`Usage: ${name} `), stdout);
    assert.match(stdout, /Exit codes:\n {2}0 {2}fine/, name);
    assert.equal(stderr, "", name);
  }
});

test("--version prints the package's version after every command", async () => {
  const file = join(import.meta.dirname, "../../package.json");
  const { version } = JSON.parse(readFileSync(file, "utf8")) as { version: string };
  for (const command of [[], ["pub"], ["config", "print"]]) {
    const { exitCode, stdout } = await runCli([...command, "--version"]);
    assert.deepEqual([exitCode, stdout], [0, `${version}\n`], command.join(" "));
  }
});

test("wrong usage ends with 2 and says what is wrong on standard error", async () => {
  const wrong: [args: string[], reason: RegExp][] = [
    [[], /Usage: rillmq/],
    [["serv"], /unknown command 'serv'/],
    [["serve", "--frobnicate"], /unknown option '--frobnicate'/],
    [["config"], /Usage: rillmq config/],
    [["pub", "--message", "x"], /'--topic <topic>' not specified/],
    [["pub", "--topic", "t"], /--message or --file/],
    [["pub", "--topic", "t", "--message", "x", "--file", "y"], /cannot be used/],
    [["pub", "--topic", "t", "--file", join(folder, "missing")], /cannot read .*missing/],
    [["pub", "--topic", "t", "--message", "x", "--qos", "3"], /Allowed choices are 0, 1, 2/],
    [["pub", "--topic", "t", "--message", "x", "--url", "127.0.0.1"], /Expected mqtt:/],
    [["sub", "--topic", "t", "--count", "0"], /whole number above 0/],
    [["sub", "--topic", "t", "--timeout", "soon"], /Expected seconds/],
  ];
  for (const [args, reason] of wrong) {
    const { exitCode, stdout, stderr } = await runCli(args);
    assert.equal(exitCode, 2, `${args.join(" ")}: ${stderr}`);
    assert.match(stderr, reason);
    assert.equal(stdout, "");
  }
});

test("a configuration with mistakes ends with 2, for config check and for serve alike", async () => {
  const file = join(folder, "bad.yaml");
  writeFileSync(file, "dta: x\nmqtt: { receiveMaximum: 0 }\n");
  for (const command of [["config", "check"], ["serve"]]) {
    const { exitCode, stdout, stderr } = await runCli([...command, "--config", file], {
      RILLMQ_DATTA: "y",
    });
    assert.equal(exitCode, 2, stderr);
    assert.equal(stdout, "");
    assert.match(stderr, /^rillmq: the configuration has 3 mistakes:\n/);
    assert.match(stderr, /dta: no such setting \(.*bad\.yaml line 1\)/);
    assert.match(stderr, /mqtt\.receiveMaximum: expected 1 to 65535 \(.*bad\.yaml line 2\)/);
    assert.match(stderr, /no setting goes by this variable \(RILLMQ_DATTA\)/);
  }
});

test("serve refuses a listener beyond loopback unless --allow-anonymous is given", async () => {
  const args = ["--listen", "mqtt://0.0.0.0:0"];
  const refused = await runCli(["serve", ...args]);
  assert.equal(refused.exitCode, 2);
  assert.match(refused.stderr, /beyond loopback.*--allow-anonymous/);
  const checked = await runCli(["config", "check", ...args, "--allow-anonymous"]);
  assert.equal(checked.exitCode, 0);
});

test("config check takes the file from RILLMQ_CONFIG", async () => {
  const file = join(folder, "good.yaml");
  writeFileSync(file, "data: /from/the/file\n");
  const { exitCode, stdout } = await runCli(["config", "print"], { RILLMQ_CONFIG: file });
  assert.equal(exitCode, 0);
  assert.match(stdout, /^data: \/from\/the\/file$/m);
});

test("config print shows no secret", async () => {
  const { exitCode, stdout } = await runCli(["config", "print"], {
    RILLMQ_STREAMS: '[{ name: t, filters: ["#"] }]',
    RILLMQ_UPLINKS: "[{ name: u, driver: mqtt, url: mqtt://centre, lanes: [{ stream: t }] }]",
    RILLMQ_UPLINKS_0_PASSWORD: "hunter2",
  });
  assert.equal(exitCode, 0);
  assert.match(stdout, /password: \(redacted\)/);
  assert.doesNotMatch(stdout, /hunter2/);
});

test("config schema prints a JSON Schema", async () => {
  const { exitCode, stdout } = await runCli(["config", "schema"]);
  assert.equal(exitCode, 0);
  const schema = JSON.parse(stdout) as { $schema: string; properties: Record<string, unknown> };
  assert.match(schema.$schema, /json-schema\.org/);
  assert.ok("uplinks" in schema.properties);
});
