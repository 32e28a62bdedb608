import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { CORPUS } from "../malformed/corpus.ts";
import { type MalformedCase, nameOf } from "../malformed/malformed-case.ts";
import { runBase, runCase } from "../malformed/run-case.ts";
import { BrokerHome, type BrokerProcess } from "../support/broker-process.ts";
import { eventually } from "../support/json-process.ts";
import { sampleOf } from "../support/prometheus.ts";
import { publishPacket, WireClient } from "../support/wire-client.ts";

const WAIT_MS = 15_000;

const closings: (() => Promise<void>)[] = [];
let broker: BrokerProcess;
let other: WireClient;
let rounds = 0;

before(async () => {
  const home = new BrokerHome({ after: (close) => closings.push(close) });
  broker = await home.start();
  other = await WireClient.open(broker.port, ProtocolVersion.v5);
  await other.connect({ clientId: "other" });
  await other.subscribe(1, "other/+", 1);
});

after(async () => {
  for (const close of closings) await close();
});

/** Another client publishes and gets what it published. */
async function serveOther(): Promise<void> {
  const text = String(++rounds);
  other.send(publishPacket("other/t", text, { qos: 1, packetId: 1 + (rounds % 60_000) }));
  const { packet } = await other.takeType(PacketType.publish);
  assert.ok("payload" in packet);
  assert.equal(Buffer.from(packet.payload).toString(), text);
  other.send({ type: PacketType.puback, packetId: packet.packetId, reasonCode: 0 });
  await other.takeType(PacketType.puback);
}

/** How many connections the broker says it ended or refused for what came. */
async function counted(): Promise<number> {
  const errors = await sampleOf(broker, "rillmq_protocol_errors_total");
  const refused = await sampleOf(broker, 'rillmq_connections_refused_total{reason="other"}');
  return errors + (Number.isNaN(refused) ? 0 : refused);
}

const isCounted = ({ expected: { kind } }: MalformedCase): boolean =>
  kind === "closes" || kind === "refuses";

test("The corpus has at least 500 cases, distinct by clause, packet and fault.", () => {
  const seen = new Set(CORPUS.map(({ clause, packet, fault }) => `${clause}|${packet}|${fault}`));
  assert.equal(seen.size, CORPUS.length);
  assert.ok(CORPUS.length >= 500);
});

test("No case is what it should be.", () => {
  for (const each of CORPUS) assert.notDeepEqual(each.bytes, each.base, nameOf(each));
});

test("Each packet is accepted without the fault.", async () => {
  const bases = new Map(
    CORPUS.map((each) => [`${each.version} ${Buffer.from(each.base).toString("hex")}`, each]),
  );
  const before = await counted();
  for (const each of bases.values()) {
    // Nobody may send AUTH who did not ask for enhanced authentication.
    if (each.packet === "AUTH") continue;
    try {
      await runBase(broker.port, each);
    } catch (error) {
      throw new Error(`without the fault, ${nameOf(each)}`, { cause: error });
    }
  }
  assert.equal(await counted(), before);
});

describe("Malformed input is answered and counted, and another client is still served:", () => {
  const groups = new Map<string, MalformedCase[]>();
  for (const each of CORPUS) {
    const group = groups.get(each.packet) ?? [];
    group.push(each);
    groups.set(each.packet, group);
  }
  for (const [packet, cases] of groups) {
    test(`${packet}, ${cases.length} cases.`, { timeout: 60_000 }, async () => {
      const before = await counted();
      for (const each of cases) {
        try {
          await runCase(broker.port, each);
          await serveOther();
        } catch (error) {
          throw new Error(nameOf(each), { cause: error });
        }
      }
      assert.equal((await counted()) - before, cases.filter(isCounted).length);
      assert.equal(broker.isOver, false, broker.stderr);
    });
  }
});

test("Nothing is left of it.", async () => {
  const isAlone = async (): Promise<boolean> =>
    (await sampleOf(broker, "rillmq_connections")) === 1 &&
    (await sampleOf(broker, 'rillmq_sessions{state="offline"}')) === 0;
  await eventually("only the other client is there", isAlone, WAIT_MS, () => broker.stderr);
  await other.drop();
});
