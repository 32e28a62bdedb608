import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connect, type IClientOptions, type IPublishPacket, type MqttClient } from "mqtt";
import { BrokerHome } from "../support/broker-process.ts";
import { eventually } from "../support/json-process.ts";
import { Program } from "../support/program.ts";
import { requireProgram } from "../support/requirements.ts";

const WAIT_MS = 15_000;
const BACKLOG = 50;
const QOS = [0, 1, 2] as const;
const PYTHON = "/usr/bin/python3";
const PAHO = join(import.meta.dirname, "..", "support", "paho_client.py");

interface Got {
  readonly topic: string;
  readonly text: string;
  readonly qos: number;
  readonly retain: boolean;
}

/** MQTT.js, with what it was sent. */
class JsClient {
  readonly got: Got[] = [];
  readonly client: MqttClient;

  private constructor(client: MqttClient) {
    this.client = client;
    client.on("message", (topic, payload, { qos, retain }) => {
      this.got.push({ topic, text: payload.toString(), qos, retain });
    });
  }

  static async connect(
    t: TestContext,
    port: number,
    clientId: string,
    options: IClientOptions,
  ): Promise<JsClient> {
    const url = `mqtt://127.0.0.1:${port}`;
    const client = connect(url, { clientId, reconnectPeriod: 0, ...options });
    t.after(() => client.endAsync(true));
    // Listens before it connects: the backlog comes with CONNACK.
    const js = new JsClient(client);
    await eventually(`${clientId} is connected`, () => client.connected, WAIT_MS);
    return js;
  }

  async expect(expected: readonly Got[]): Promise<void> {
    const describe = (): string => JSON.stringify(this.got);
    await eventually("all came", () => this.got.length >= expected.length, WAIT_MS, describe);
    assert.deepEqual(this.got, expected);
  }
}

for (const protocolVersion of [4, 5] as const) {
  const name = protocolVersion === 5 ? "5" : "3.1.1";
  const durable: IClientOptions = {
    protocolVersion,
    clean: false,
    ...(protocolVersion === 5 ? { properties: { sessionExpiryInterval: 3_600 } } : {}),
  };

  test(`MQTT.js ${name}: every QoS, retained messages and the will`, async (t) => {
    const { port } = await new BrokerHome(t).start();
    const subscriber = await JsClient.connect(t, port, "subscriber", { protocolVersion });
    const publisher = await JsClient.connect(t, port, "publisher", { protocolVersion });
    await publisher.client.publishAsync("js/kept", "kept", { qos: 1, retain: true });
    await subscriber.client.subscribeAsync("js/#", { qos: 2 });
    for (const qos of QOS) await publisher.client.publishAsync(`js/${qos}`, `text ${qos}`, { qos });
    const will = { topic: "js/will", payload: Buffer.from("will"), qos: 1, retain: false } as const;
    const mortal = await JsClient.connect(t, port, "mortal", { protocolVersion, will });
    mortal.client.stream.destroy();
    const live = { retain: false };
    await subscriber.expect([
      { topic: "js/kept", text: "kept", qos: 1, retain: true },
      ...QOS.map((qos) => ({ topic: `js/${qos}`, text: `text ${qos}`, qos, ...live })),
      { topic: "js/will", text: "will", qos: 1, ...live },
    ]);
  });

  test(`MQTT.js ${name}: a durable session gets its backlog`, async (t) => {
    const { port } = await new BrokerHome(t).start();
    const first = await JsClient.connect(t, port, "durable", durable);
    await first.client.subscribeAsync("js/#", { qos: 2 });
    await first.client.endAsync();
    const publisher = await JsClient.connect(t, port, "publisher", { protocolVersion });
    const texts = Array.from({ length: BACKLOG }, (_, i) => `${i}`);
    for (const text of texts) await publisher.client.publishAsync("js/a", text, { qos: 2 });
    const second = await JsClient.connect(t, port, "durable", durable);
    await second.expect(texts.map((text) => ({ topic: "js/a", text, qos: 2, retain: false })));
  });
}

test("MQTT.js 5: what belongs to a request travels with it", async (t) => {
  const { port } = await new BrokerHome(t).start();
  const options = { protocolVersion: 5 } as const;
  const subscriber = await JsClient.connect(t, port, "subscriber", options);
  await subscriber.client.subscribeAsync("js/request", { qos: 1 });
  const properties = {
    responseTopic: "js/response",
    correlationData: Buffer.from("42"),
    contentType: "text/plain",
    userProperties: { unit: "kelvin" },
  };
  const packets: IPublishPacket[] = [];
  subscriber.client.on("message", (_topic, _payload, packet) => packets.push(packet));
  await subscriber.client.publishAsync("js/request", "?", { qos: 1, properties });
  await eventually("it comes", () => packets.length === 1, WAIT_MS);
  const got = packets[0]?.properties;
  assert.deepEqual({ ...got, userProperties: { ...got?.userProperties } }, properties);
});

for (const version of ["mqttv31", "mqttv311", "mqttv5"]) {
  test(`mosquitto_pub and mosquitto_sub, ${version}: every QoS, retained, durable, will`, async (t) => {
    const pub = requireProgram(t, "mosquitto_pub");
    const sub = requireProgram(t, "mosquitto_sub");
    // Lines at once, also into a pipe.
    const stdbuf = requireProgram(t, "stdbuf");
    if (pub === undefined || sub === undefined || stdbuf === undefined) return;
    const { port } = await new BrokerHome(t).start();
    const common = ["-h", "127.0.0.1", "-p", `${port}`, "-V", version];
    const publish = (args: readonly string[]): Promise<string[]> =>
      new Program(t, pub, [...common, ...args]).done();
    const format = ["-F", "%t %p %q %r"];
    const subscribe = (args: readonly string[]): Program =>
      new Program(t, stdbuf, ["-oL", sub, ...common, "-W", "15", ...format, ...args]);

    await publish(["-t", "kept/a", "-m", "kept", "-q", "1", "-r"]);
    const keptReader = subscribe(["-t", "kept/#", "-q", "1", "-C", "1"]);
    assert.deepEqual(await keptReader.done(), ["kept/a kept 1 1"]);

    const live = subscribe(["-d", "-t", "live/#", "-q", "2", "-C", "4"]);
    await live.says("Subscribed (mid");
    for (const qos of QOS) await publish(["-t", `live/${qos}`, "-m", "text", "-q", `${qos}`]);
    const willArgs = ["--will-topic", "live/will", "--will-payload", "will", "--will-qos", "1"];
    const mortal = subscribe(["-d", "-t", "nothing", ...willArgs]);
    await mortal.says("Subscribed (mid");
    mortal.kill();
    const lines = (await live.done()).filter((line) => line.startsWith("live/"));
    const expected = QOS.map((qos) => `live/${qos} text ${qos} 0`);
    assert.deepEqual(lines, [...expected, "live/will will 1 0"]);

    const expiry = version === "mqttv5" ? ["-x", "3600"] : [];
    const durable = ["-i", "durable", "-c", ...expiry, "-t", "durable/#", "-q", "2"];
    await subscribe([...durable, "-E"]).done();
    await publish(["-t", "durable/a", "-m", "one", "-q", "1"]);
    await publish(["-t", "durable/b", "-m", "two", "-q", "2"]);
    const backlog = await subscribe([...durable, "-C", "2"]).done();
    assert.deepEqual(backlog.sort(), ["durable/a one 1 0", "durable/b two 2 0"]);
  });
}

for (const [version, name] of [
  ["4", "3.1.1"],
  ["5", "5"],
] as const) {
  test(`Paho Python ${name}: every QoS, retained, durable, will`, async (t) => {
    if (spawnSync(PYTHON, ["-c", "import paho.mqtt.client"]).status !== 0) {
      t.skip("SKIPPED: needs python3-paho-mqtt");
      return;
    }
    const { port } = await new BrokerHome(t).start();
    const lines = await new Program(t, PYTHON, [PAHO, `${port}`, version]).done();
    assert.deepEqual(lines, ["ok exchange", "ok retained", "ok durable", "ok will"]);
  });
}
