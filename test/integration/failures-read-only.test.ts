import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { openLmdbStore } from "../../src/store/lmdb-store.ts";
import { BrokerHome } from "../support/broker-process.ts";
import { mountJournaledDisk } from "../support/journaled-disk.ts";
import { eventually } from "../support/json-process.ts";
import { readStream } from "../support/stored-stream.ts";
import { publishPacket, WireClient } from "../support/wire-client.ts";

const config = { streams: [{ name: "captured", filters: ["full/#"] }] };
const TOLD_MS_MAX = 20_000;
const ACKNOWLEDGED = 50;

test("a disk that turns read-only under the broker: no acknowledgement, it is told, and everything acknowledged is there afterwards", async (t) => {
  const home = new BrokerHome(t);
  const disk = mountJournaledDisk(t);
  if (disk === undefined) return;
  const data = join(disk.path, "data");
  const broker = await home.start({ data, config });
  const wire = await WireClient.open(broker.port, ProtocolVersion.v5);
  await wire.connect({ clientId: "publisher" });
  for (let packetId = 1; packetId <= ACKNOWLEDGED; packetId++) {
    wire.send(publishPacket("full/topic", `${packetId}`, { qos: 1, packetId }));
    const { packet } = await wire.takeType(PacketType.puback, packetId);
    assert.equal(packet.reasonCode, 0);
  }
  disk.goReadOnly();
  wire.send(publishPacket("full/topic", "lost?", { qos: 1, packetId: 1_000 }));
  await wire.closed;
  assert.equal(wire.waiting(PacketType.puback), 0, "no acknowledgement of what is not on disk");
  // LMDB's binding may damage the heap when a write fails: then the process dies instead of waiting for the disk.
  await eventually(
    "it is told, or the process has ended",
    () => broker.isOver || broker.count("the store cannot be opened") > 0,
    TOLD_MS_MAX,
    () => broker.stderr,
  );
  await broker.kill();
  disk.mountAgain();
  const again = await home.start({ data, config });
  const later = await WireClient.open(again.port, ProtocolVersion.v5);
  await later.connect({ clientId: "publisher" });
  later.send(publishPacket("full/topic", "later", { qos: 1, packetId: 1 }));
  assert.equal((await later.takeType(PacketType.puback, 1)).packet.reasonCode, 0);
  assert.equal((await again.stop()).exitCode, 0, again.stderr);
  const store = openLmdbStore({ path: join(data, "store.mdb") });
  const payloads = readStream(store, "captured").map(({ payload }) =>
    Buffer.from(payload).toString(),
  );
  await store.close();
  const expected = Array.from({ length: ACKNOWLEDGED }, (_, index) => `${index + 1}`);
  assert.deepEqual(
    payloads.filter((payload) => payload !== "lost?"),
    [...expected, "later"],
  );
});
