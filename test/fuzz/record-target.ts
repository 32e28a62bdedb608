/**
 * What is on disk and damaged: a broker starts on it. Whatever the bytes say it recovers, and another client is served
 * afterwards; what cannot be read is counted or gone.
 */
import assert from "node:assert/strict";
import { OperatingError } from "../../src/lib/operating-error.ts";
import { PacketType } from "../../src/mqtt/packet.ts";
import { VirtualNode } from "../support/virtual-node.ts";
import type { Chance } from "./chance.ts";

const TABLES = ["log", "retained", "meta"] as const;

/** A broker with every kind of record: sessions, subscriptions, backlogs, QoS 2 states, wills, retained messages, a stream. */
function filled(): VirtualNode {
  const node = new VirtualNode({
    streams: [
      {
        name: "captured",
        filters: ["t/#"],
        bytesMax: 1_048_576,
        messagesMax: undefined,
        ageMaxMs: undefined,
        whenFull: "drop-oldest",
      },
    ],
  });
  const lasting = { cleanStart: false, properties: { sessionExpirySeconds: 3_600 } };
  const will = {
    topic: "t/will",
    payload: Buffer.from("gone"),
    qos: 1,
    retain: true,
    properties: { willDelaySeconds: 60 },
  } as const;
  const reader = node.connect("reader", { ...lasting, will });
  reader.subscribe("t/#", { qos: 2 }, { subscriptionIdentifiers: [3] });
  const writer = node.connect("writer", lasting);
  writer.publish("t/a", "one", { qos: 2, packetId: 1, retain: true });
  reader.lose();
  for (let i = 2; i < 9; i++) {
    const properties = { contentType: "text", userProperties: [["k", "v"]] as const };
    writer.publish(`t/${i}`, `text ${i}`, { qos: 1, packetId: i, retain: i % 2 === 0, properties });
  }
  writer.lose();
  return node;
}

/** One input: some records damaged, then a start. @throws whatever keeps the broker from serving */
export function runRecords(chance: Chance): void {
  const node = filled();
  for (let i = chance.between(1, 4); i > 0; i--) damage(node, chance);
  if (!starts(node)) return;
  node.advance(chance.below(4_000_000));
  const resumed = node.connect("reader", {
    cleanStart: false,
    properties: { sessionExpirySeconds: 10 },
  });
  resumed.take();
  const other = node.connect("other");
  other.subscribe("other", { qos: 1 });
  other.publish("other", "served", { qos: 1, packetId: 1 });
  const isServed = other
    .take()
    .some((each) => each.type === PacketType.publish && each.payload === "served");
  assert.ok(isServed, "not served");
  assert.deepEqual(node.failures, []);
}

/** False: the store says that it cannot be read, which is an answer. */
function starts(node: VirtualNode): boolean {
  try {
    node.crash();
    return true;
  } catch (error) {
    if (error instanceof OperatingError) return false;
    throw error;
  }
}

function damage(node: VirtualNode, chance: Chance): void {
  const table = chance.pick(TABLES);
  const keys = node.disk.keys(table);
  if (keys.length === 0) return;
  const key = chance.pick(keys);
  const value = Buffer.from(node.disk.tables[table].get(key) ?? []);
  node.disk.overwrite(table, key, spoiled(value, chance));
}

function spoiled(value: Buffer, chance: Chance): Uint8Array | undefined {
  if (chance.oneIn(8)) return undefined;
  if (value.length === 0 || chance.oneIn(8)) return chance.bytes(chance.below(40));
  if (chance.oneIn(3)) return value.subarray(0, chance.below(value.length));
  if (chance.oneIn(5)) return Buffer.concat([value, chance.bytes(chance.between(1, 9))]);
  for (let i = chance.between(1, 3); i > 0; i--) {
    value[chance.below(value.length)] = chance.oneIn(2) ? chance.below(256) : chance.pick([0, 255]);
  }
  return value;
}
