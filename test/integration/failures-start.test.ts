import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { BrokerHome } from "../support/broker-process.ts";
import { mountSmallDisk } from "../support/small-disk.ts";
import { publishPacket, WireClient } from "../support/wire-client.ts";

const linesOf = (text: string): string[] => text.split("\n").filter((line) => line !== "");

test("a data folder on a read-only disk ends with 4 and one line, whether it is new or in use before", async (t) => {
  const home = new BrokerHome(t);
  const disk = mountSmallDisk(t, 16 * 1_048_576);
  if (disk === undefined) return;
  const known = `${disk.path}/known`;
  const broker = await home.start({ data: known });
  assert.equal((await broker.stop()).exitCode, 0);
  disk.makeReadOnly();
  for (const data of [known, `${disk.path}/new`]) {
    const { exitCode, stdout, stderr } = await home.spawn({ data }).ended;
    assert.equal(exitCode, 4, stderr);
    assert.equal(stdout, "");
    assert.equal(linesOf(stderr).length, 1, stderr);
    assert.match(stderr, new RegExp(`data folder ${data}: `));
  }
});

test("an HTTP port that was given and is taken ends with 3 and one line", async (t) => {
  const home = new BrokerHome(t);
  const server = createServer();
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const { exitCode, stdout, stderr } = await home.spawn({ http: `127.0.0.1:${port}` }).ended;
  assert.equal(exitCode, 3, stderr);
  assert.equal(stdout, "");
  const errors = linesOf(stderr).filter((line) => line.includes('"error"'));
  assert.equal(errors.length, 1, stderr);
  assert.match(errors[0] ?? "", new RegExp(`127.0.0.1:${port}`));
});

test("a listener beyond loopback needs --allow-anonymous", async (t) => {
  const home = new BrokerHome(t);
  const listen = ["--listen", "mqtt://0.0.0.0:0"];
  const { exitCode, stdout, stderr } = await home.spawn({ flags: listen }).ended;
  assert.equal(exitCode, 2, stderr);
  assert.equal(stdout, "");
  assert.match(stderr, /allow-?anonymous/i);
  const broker = await home.start({ flags: [...listen, "--allow-anonymous"] });
  assert.equal((await broker.stop()).exitCode, 0);
});

for (const driver of ["nats", "mqtt"]) {
  test(`without its centre (${driver}) the broker starts, acknowledges and is ready`, async (t) => {
    const home = new BrokerHome(t);
    const config = {
      streams: [{ name: "telemetry", filters: ["sim/#"] }],
      uplinks: [
        {
          name: "centre",
          driver,
          // The discard port: nobody listens there.
          url: `${driver}://127.0.0.1:9`,
          backoffMinMs: 50,
          lanes: [{ stream: "telemetry" }],
        },
      ],
    };
    const broker = await home.start({ config });
    const wire = await WireClient.open(broker.port, ProtocolVersion.v5);
    assert.equal((await wire.connect({ clientId: "device" })).reasonCode, 0);
    wire.send(publishPacket("sim/d1/sensor", "1", { qos: 1, packetId: 1 }));
    assert.equal((await wire.takeType(PacketType.puback, 1)).packet.reasonCode, 0);
    assert.equal((await fetch(`${broker.httpUrl}/readyz`)).status, 200);
    const metrics = await (await fetch(`${broker.httpUrl}/metrics`)).text();
    assert.match(metrics, /^rillmq_uplink_lag_messages\{[^}]*\} 1$/m);
    await wire.drop();
    const { exitCode, stderr } = await broker.stop();
    assert.equal(exitCode, 0, stderr);
  });
}
