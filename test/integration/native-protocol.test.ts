import assert from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { connectAsync } from "mqtt";
import { WebSocket } from "ws";
import type { Delivery } from "../../src/native/frame.ts";
import { BrokerHome, type BrokerProcess } from "../support/broker-process.ts";
import { textOf } from "../support/native-client.ts";
import { NativeSocket } from "../support/native-socket.ts";
import { runCli } from "./cli-process.ts";

const serve = (t: TestContext, config: Readonly<Record<string, unknown>>): Promise<BrokerProcess> =>
  new BrokerHome(t).start({ config });

/** Whether a handshake with this subprotocol is taken. */
async function isTaken(url: string, subprotocol: string): Promise<boolean> {
  const webSocket = new WebSocket(url.replace(/^rill/, "ws"), subprotocol);
  webSocket.on("error", () => undefined);
  const signal = AbortSignal.timeout(10_000);
  const taken = once(webSocket, "open", { signal }).then(() => true);
  const refused = once(webSocket, "unexpected-response", { signal }).then(() => false);
  refused.catch(() => undefined);
  taken.catch(() => undefined);
  const result = await Promise.race([taken, refused]);
  webSocket.terminate();
  return result;
}

test("On one port MQTT and the native protocol reach each other, by their subprotocols.", async (t) => {
  const broker = await serve(t, {
    listeners: [{ url: "ws://127.0.0.1:0", protocols: ["mqtt", "rill"] }],
  });
  const [url = ""] = broker.urls;
  const device = await connectAsync(url, { clientId: "device", reconnectPeriod: 0 });
  t.after(() => device.end(true));
  const client = await NativeSocket.open(t, url, { clientId: "service" }, "rill.v1+json");
  const { sub } = await client.ask({ op: "subscribe", filter: "up/#", credit: 10 });
  await device.publishAsync("up/1", "from the device", { qos: 1 });
  const event = await client.nextOf("event");
  assert.deepEqual(
    [event.sub, event.topic, textOf(event.payload)],
    [sub, "up/1", "from the device"],
  );
  await device.subscribeAsync("down/#", { qos: 1 });
  const got = new Promise<[string, Buffer]>((resolve) => {
    device.once("message", (...message) => resolve([message[0], message[1]]));
  });
  await client.ask({ op: "publish", topic: "down/1", payload: "from the service" });
  const [topic, payload] = await got;
  assert.deepEqual([topic, String(payload)], ["down/1", "from the service"]);
});

test("A listener of its own speaks nothing else, and the ready line tells its URL.", async (t) => {
  const broker = await serve(t, {
    listeners: [{ url: "rill://127.0.0.1:0" }, { url: "ws://127.0.0.1:0" }],
  });
  const [url = "", mqttUrl = ""] = broker.urls;
  assert.match(url, /^rill:\/\/127\.0\.0\.1:\d+\/rill$/);
  assert.equal(await isTaken(url, "mqtt"), false);
  assert.equal(await isTaken(mqttUrl, "rill.v1+json"), false);
  const client = await NativeSocket.open(t, url);
  await client.ask({ op: "send", queue: "jobs", messages: [{ payload: Buffer.from("one") }] });
  const { deliveries } = await client.ask({ op: "receive", queue: "jobs", waitMs: 5_000 });
  const [delivery] = deliveries as Delivery[];
  assert.equal(textOf(delivery?.payload), "one");
  const settle = { op: "settle", queue: "jobs", how: "ack", deliveries: [delivery?.delivery] };
  assert.equal((await client.ask(settle)).op, "ok");
});

test("A message of the wrong kind or size closes the connection with the code of WebSocket for it.", async (t) => {
  const broker = await serve(t, {
    listeners: [{ url: "rill://127.0.0.1:0" }],
    native: { frameBytesMax: "64KiB" },
  });
  const [url = ""] = broker.urls;
  const binary = await NativeSocket.open(t, url, {}, "rill.v1+json");
  binary.webSocket.send(Buffer.from("{}"), { binary: true });
  assert.equal(await binary.closed(), 1_003);
  const large = await NativeSocket.open(t, url);
  large.webSocket.send(Buffer.alloc(1_000_000));
  assert.equal(await large.closed(), 1_009);
  const early = await NativeSocket.dial(t, url);
  early.webSocket.send(Buffer.alloc(90_000));
  assert.equal(await early.closed(), 1_009);
});

test("An operator sees native clients and ends their connections.", async (t) => {
  const home = new BrokerHome(t);
  const broker = await home.start({ config: { listeners: [{ url: "rill://127.0.0.1:0" }] } });
  const [url = ""] = broker.urls;
  const client = await NativeSocket.open(t, url, { clientId: "service" });
  const { stdout } = await runCli(["clients", "ls", "--data", home.data]);
  assert.match(stdout, /service .* rill\.v1\+msgpack/);
  const gone = client.closed();
  await runCli(["clients", "kick", "service", "--data", home.data]);
  const told = await client.nextOf("error");
  assert.equal(told.code, "kicked");
  await gone;
});
