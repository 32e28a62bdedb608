import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import mqtt from "mqtt";
import { PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { BrokerHome } from "../support/broker-process.ts";
import { ScramClient } from "../support/scram-client.ts";
import { WireClient } from "../support/wire-client.ts";
import { type CliResult, runCli } from "./cli-process.ts";

const folder = mkdtempSync(join(tmpdir(), "rillmq-passwd-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const METHOD = "SCRAM-SHA-256";
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
    { user: "ann", methods: ["password"], scrypt: { ln: 13, r: 8, p: 1 } },
    { user: "bob", methods: ["password"], scrypt: { ln: 13, r: 8, p: 2 } },
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

test("passwd --scram makes users that prove their password instead of sending it, also to MQTT.js", async (t) => {
  const file = join(folder, "scram");
  const common = ["--file", file, "--password-stdin"];
  await passwd(["add", "ann", ...common, "--scram", "--scram-iterations", "4096"], "s3cret\n");
  await passwd(["add", "bob", ...common], "other");
  const listed = await passwd(["ls", "--file", file]);
  assert.equal(listed.stdout, "ann\tpassword SCRAM-SHA-256\nbob\tpassword\n");
  const json = await passwd(["ls", "--file", file, "--json"]);
  assert.deepEqual(JSON.parse(json.stdout)[0], {
    user: "ann",
    methods: ["password", "SCRAM-SHA-256"],
    scrypt: { ln: 13, r: 8, p: 1 },
    scram: { iterations: 4_096 },
  });
  const home = new BrokerHome(t);
  const broker = await home.start({ flags: ["--users", file] });
  const { port } = broker;
  assert.equal(await scramReason(port, "ann", "s3cret"), 0);
  assert.equal(await scramReason(port, "ann", "other"), 0x86);
  assert.equal(await scramReason(port, "bob", "other"), 0x86);
  assert.equal(await scramReason(port, "eve", "s3cret"), 0x86);
  await connectWithMqttJs(port, "ann", "s3cret");
  assert.match(broker.stderr, /"user":"bob"/);
  assert.ok(!/s3cret|"eve"/.test(broker.stderr));
  // As before, by password.
  const url = `mqtt://127.0.0.1:${port}`;
  const login = ["--username", "ann", "--password", "s3cret"];
  const sent = await runCli(["pub", "--url", url, "--topic", "t", "--message", "x", ...login]);
  assert.equal(sent.exitCode, 0, sent.stderr);
});

/** The reason code of CONNACK after an exchange; the broker has shown that it knows the password. */
async function scramReason(port: number, user: string, password: string): Promise<number> {
  const client = await WireClient.open(port, ProtocolVersion.v5);
  const scram = new ScramClient(user, password);
  client.send({
    type: PacketType.connect,
    protocolVersion: ProtocolVersion.v5,
    cleanStart: true,
    keepAliveSeconds: 0,
    clientId: "c",
    properties: { authenticationMethod: METHOD, authenticationData: scram.first() },
  });
  const first = (await client.takeType(PacketType.auth)).packet.properties?.authenticationData;
  const properties = { authenticationMethod: METHOD, authenticationData: scram.final(first) };
  client.send({ type: PacketType.auth, reasonCode: 0x18, properties });
  const { packet } = await client.takeType(PacketType.connack);
  if (packet.reasonCode === 0) assert.ok(scram.trusts(packet.properties.authenticationData));
  return packet.reasonCode;
}

async function connectWithMqttJs(port: number, user: string, password: string): Promise<void> {
  const scram = new ScramClient(user, password);
  const authenticationData = scram.first();
  const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, {
    protocolVersion: 5,
    reconnectPeriod: 0,
    properties: { authenticationMethod: METHOD, authenticationData },
  });
  client.handleAuth = ({ properties = {} }, done) => {
    const data = scram.final(properties.authenticationData);
    done(undefined, {
      cmd: "auth",
      reasonCode: 0x18,
      properties: { authenticationMethod: METHOD, authenticationData: data },
    });
  };
  const connack = await new Promise<mqtt.IConnackPacket>((resolve, reject) => {
    client.once("connect", resolve);
    client.once("close", () => reject(new Error("closed")));
  });
  assert.ok(scram.trusts(connack.properties?.authenticationData));
  await client.endAsync();
}

test("passwd says what it cannot do", async () => {
  const file = join(folder, "edited");
  const exitCodeOf = async (args: readonly string[], input = ""): Promise<number | undefined> =>
    (await passwd(args, input)).exitCode;
  assert.equal(await exitCodeOf(["ls", "--file", file]), 2);
  assert.equal(await exitCodeOf(["add", "a:b", "--file", file, "--password-stdin"], "x"), 2);
  assert.equal(await exitCodeOf(["add", "a", "--file", file, "--password-stdin"], ""), 2);
  assert.equal(await exitCodeOf(["add", "a", "--file", file]), 2);
  const scram = ["--file", file, "--password-stdin", "--scram"];
  assert.equal(await exitCodeOf(["add", "\u2168", ...scram], "x"), 2);
  assert.equal(await exitCodeOf(["add", "a", ...scram], "x\u0007"), 2);
  assert.equal(await exitCodeOf(["add", "a", ...scram, "--scram-iterations", "4095"], "x"), 2);
  assert.equal(await exitCodeOf(["add", "a", "--file", file, "--password-stdin"], "x"), 0);
  const changed = await passwd(["add", "a", "--file", file, "--password-stdin", "--json"], "y");
  assert.deepEqual(JSON.parse(changed.stdout), { user: "a", changed: true });
  assert.equal(await exitCodeOf(["rm", "b", "--file", file]), 1);
  assert.equal((await passwd(["rm", "a", "--file", file])).stdout, "removed a\n");
  writeFileSync(file, "damaged\n", { mode: 0o644 });
  assert.equal(await exitCodeOf(["rm", "a", "--file", file]), 2);
  assert.equal(readFileSync(file, "utf8"), "damaged\n");
});
