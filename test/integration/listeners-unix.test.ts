import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { BrokerHome } from "../support/broker-process.ts";
import { publishPacket, WireClient } from "../support/wire-client.ts";
import { runCli } from "./cli-process.ts";

const WAIT_MS = 10_000;

/** A path for a socket, with what a URL cannot have as it is. */
function socketPath(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "rillmq unix-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "mqtt.sock");
}

const urlOf = (path: string): string => `unix://${path.replaceAll(" ", "%20")}`;

async function openClient(
  t: TestContext,
  path: string,
  version: ProtocolVersion,
): Promise<WireClient> {
  const socket = connect({ path });
  t.after(() => socket.destroy());
  await once(socket, "connect", { signal: AbortSignal.timeout(WAIT_MS) });
  return new WireClient(socket, version);
}

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

test("a unix socket is for its owner only, serves, and is gone after the stop", async (t) => {
  const path = socketPath(t);
  const broker = await new BrokerHome(t).start({ config: { listeners: [{ url: urlOf(path) }] } });
  assert.deepEqual(broker.urls, [urlOf(path)]);
  assert.equal(modeOf(path), "600");
  for (const version of [ProtocolVersion.v31, ProtocolVersion.v311, ProtocolVersion.v5]) {
    const client = await openClient(t, path, version);
    assert.equal((await client.connect({ clientId: `unix-${version}` })).reasonCode, 0);
    await client.subscribe(1, "unix", 1);
    client.send(publishPacket("unix", "x", { qos: 1, packetId: 2 }));
    await client.takeType(PacketType.puback, 2);
    await client.takeType(PacketType.publish);
    await client.drop();
  }
  assert.equal((await broker.stop()).exitCode, 0);
  assert.equal(existsSync(path), false);
});

test("pub and sub take the path of a unix socket", async (t) => {
  const path = socketPath(t);
  const broker = await new BrokerHome(t).start({ config: { listeners: [{ url: urlOf(path) }] } });
  for (const url of [broker.urls[0] ?? "", `mqtt+unix://${path.replaceAll(" ", "%20")}`]) {
    const pub = ["pub", "--url", url, "--topic", "a", "--message", url, "--retain"];
    const { exitCode, stderr } = await runCli(pub);
    assert.equal(exitCode, 0, stderr);
    const sub = await runCli(["sub", "--url", url, "--topic", "a", "--count", "1"]);
    assert.equal(sub.stdout, `${url}\n`);
  }
});

test("permissions are those that are set", async (t) => {
  const path = socketPath(t);
  const listeners = [{ url: urlOf(path), mode: "0660" }];
  await new BrokerHome(t).start({ config: { listeners } });
  assert.equal(modeOf(path), "660");
});

test("what a killed broker left behind is taken over", async (t) => {
  const path = socketPath(t);
  const home = new BrokerHome(t);
  const config = { listeners: [{ url: urlOf(path) }] };
  const first = await home.start({ config });
  await first.kill();
  assert.equal(existsSync(path), true);
  await home.start({ config });
  const client = await openClient(t, path, ProtocolVersion.v5);
  assert.equal((await client.connect({ clientId: "after" })).reasonCode, 0);
});

test("a socket in use, a file, a folder that is missing and a path too long end with 3", async (t) => {
  const path = socketPath(t);
  const [home, other] = [new BrokerHome(t), new BrokerHome(t)];
  await home.start({ config: { listeners: [{ url: urlOf(path) }] } });
  const file = join(path, "..", "file");
  writeFileSync(file, "precious");
  const cases: [path: string, said: RegExp][] = [
    [path, /in use/],
    [file, /no socket/],
    [join(path, "..", "missing", "mqtt.sock"), /folder is missing/],
    [join(path, "..", "x".repeat(100)), /over 107 bytes/],
  ];
  for (const [at, said] of cases) {
    const config = { listeners: [{ url: urlOf(at) }] };
    const { exitCode, stderr } = await other.spawn({ config }).ended;
    assert.equal(exitCode, 3, stderr);
    assert.match(stderr, said);
  }
  assert.equal(readFileSync(file, "utf8"), "precious");
  const client = await openClient(t, path, ProtocolVersion.v5);
  assert.equal((await client.connect({ clientId: "still here" })).reasonCode, 0);
});
