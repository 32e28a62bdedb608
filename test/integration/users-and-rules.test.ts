import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { formatPasswordHash, hashPassword } from "../../src/access/password-hash.ts";
import { type ConnectPacket, PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { BrokerHome } from "../support/broker-process.ts";
import { eventually } from "../support/json-process.ts";
import { publishPacket, WireClient } from "../support/wire-client.ts";
import { runCli } from "./cli-process.ts";

const folder = mkdtempSync(join(tmpdir(), "rillmq-access-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const CLIENTS = 200;
const PING_MS = 10;

const as = (user: string, password: string): Partial<ConnectPacket> => ({
  username: user,
  password: Buffer.from(password),
});

/** At half the usual cost. */
const lineOf = async (user: string, password: string): Promise<string> =>
  `${user}:${formatPasswordHash(await hashPassword(Buffer.from(password), { ln: 12, r: 8, p: 1 }))}\n`;

test("a damaged users or rules file ends the start, and config check finds both", async (t) => {
  const users = join(folder, "damaged-users");
  const rules = join(folder, "damaged-rules");
  writeFileSync(users, "ann\n", { mode: 0o600 });
  writeFileSync(rules, "rules:\n  - user: ann\n    publish: [a/#/b]\n");
  const home = new BrokerHome(t);
  for (const flags of [
    ["--users", users],
    ["--rules", rules],
  ]) {
    const { exitCode, stderr } = await home.spawn({ flags }).ended;
    assert.equal(exitCode, 2);
    assert.equal(stderr.trim().split("\n").length, 1, stderr);
    assert.match(stderr, /damaged-(users|rules) line [13]/);
  }
  const check = await runCli(["config", "check", "--users", users, "--rules", rules]);
  assert.equal(check.exitCode, 2);
  assert.match(check.stderr, /damaged-users line 1: .*\n.*damaged-rules line 3: /);
});

test("beyond loopback is fine with a users file, and there a name is wanted", async (t) => {
  const users = join(folder, "beyond");
  writeFileSync(users, await lineOf("ann", "a"), { mode: 0o600 });
  const listeners = [
    { url: "mqtt://0.0.0.0:0" },
    { url: "mqtt://127.0.0.1:0", allowAnonymous: true },
  ];
  const config = { listeners, access: { usersFile: users } };
  const broker = await new BrokerHome(t).start({ config });
  const [named = 0, open = 0] = broker.urls.map((url) => Number(new URL(url).port));
  const answerAt = async (port: number, fields: Partial<ConnectPacket>): Promise<number> =>
    (await (await WireClient.open(port, ProtocolVersion.v5)).connect(fields)).reasonCode;
  assert.equal(await answerAt(named, {}), 0x87);
  assert.equal(await answerAt(named, as("ann", "a")), 0);
  assert.equal(await answerAt(open, {}), 0);
  assert.equal(await answerAt(open, as("ann", "b")), 0x86);
});

test("SIGHUP puts changed users and rules in force: who is gone is disconnected, the rest goes on", async (t) => {
  const users = join(folder, "reloaded-users");
  const rules = join(folder, "reloaded-rules");
  const [ann, bob] = [await lineOf("ann", "a"), await lineOf("bob", "b")];
  const allow = (filter: string): void =>
    writeFileSync(rules, `rules:\n  - user: "*"\n    publish: [${filter}]\n    subscribe: ["#"]\n`);
  writeFileSync(users, ann + bob, { mode: 0o600 });
  allow("a");
  const flags = ["--users", users, "--rules", rules];
  const broker = await new BrokerHome(t).start({ flags });
  const clients: WireClient[] = [];
  for (const [user, password] of [
    ["ann", "a"],
    ["bob", "b"],
  ] as const) {
    const client = await WireClient.open(broker.port, ProtocolVersion.v5);
    assert.equal((await client.connect({ clientId: user, ...as(user, password) })).reasonCode, 0);
    clients.push(client);
  }
  const [first, second] = clients;
  assert.ok(first !== undefined && second !== undefined);
  const publishB = async (packetId: number): Promise<number> => {
    first.send(publishPacket("b", "x", { qos: 1, packetId }));
    return (await first.takeType(PacketType.puback, packetId)).packet.reasonCode;
  };
  assert.equal(await publishB(1), 0x87);
  writeFileSync(users, ann);
  allow("b");
  broker.signal("SIGHUP");
  await second.closed;
  const loaded = (): boolean => broker.count("rules loaded") > 0;
  await eventually("the rules are loaded", loaded, 10_000, () => broker.stderr);
  assert.equal(await publishB(2), 0x10);
  writeFileSync(rules, "rules: oops");
  broker.signal("SIGHUP");
  const kept = (): boolean =>
    broker.count("the changed rules file cannot be used: the rules before stay") > 0;
  await eventually("the damage is told", kept, 10_000, () => broker.stderr);
  assert.equal(await publishB(3), 0x10);
});

test("200 clients that want their passwords checked at once do not keep another one waiting", async (t) => {
  const users = join(folder, "many");
  writeFileSync(users, await lineOf("ann", "a"), { mode: 0o600 });
  const config = { access: { usersFile: users }, mqtt: { connectTimeoutMs: "5m" } };
  const broker = await new BrokerHome(t).start({ config });
  const other = await WireClient.open(broker.port, ProtocolVersion.v311);
  assert.equal((await other.connect(as("ann", "a"))).reasonCode, 0);
  const crowd = await Promise.all(
    Array.from({ length: CLIENTS }, () => WireClient.open(broker.port, ProtocolVersion.v5)),
  );
  let answered = 0;
  // Each with a wrong password of its own, so that none is spared its computation.
  const answers = crowd.map(async (client, i) => {
    const { reasonCode } = await client
      .connect({ clientId: `c${i}`, ...as("ann", `wrong ${i}`) })
      .finally(() => answered++);
    return reasonCode;
  });
  let pings = 0;
  let slowestMs = 0;
  while (answered < CLIENTS / 2) {
    const sentAt = other.send({ type: PacketType.pingreq });
    const { at } = await other.takeType(PacketType.pingresp);
    slowestMs = Math.max(slowestMs, at - sentAt);
    pings++;
    await setTimeout(PING_MS);
  }
  assert.ok(pings >= 20, `${pings} pings while ${answered} clients were answered`);
  assert.ok(slowestMs < 2_000, `a ping took ${slowestMs} ms`);
  assert.deepEqual(new Set(await Promise.all(answers)), new Set([0x86]));
  const told = broker.log.filter((line) => line["event"] === "a client was not let in");
  assert.ok(told.length < CLIENTS / 2, `${told.length} entries`);
});
