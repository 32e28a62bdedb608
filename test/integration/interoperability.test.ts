/**
 * Other people's clients: one exchange for each client, version and transport of the table, and what they do in full over TCP. Long,
 * because it is one list.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import {
  connect,
  connectAsync,
  type IClientOptions,
  type IPublishPacket,
  type MqttClient,
} from "mqtt";
import { BrokerHome } from "../support/broker-process.ts";
import { TestAuthority } from "../support/certificates.ts";
import {
  CLIENTS,
  type ClientName,
  interoperabilityDoc,
  ROWS,
  type Transport,
  VERSION_NAMES,
  type Version,
} from "../support/interoperability-table.ts";
import { eventually } from "../support/json-process.ts";
import { Program } from "../support/program.ts";
import { findProgram, requireProgram } from "../support/requirements.ts";

const WAIT_MS = 15_000;
const PYTHON = "/usr/bin/python3";
const BACKLOG = 50;
const QOS = [0, 1, 2] as const;
const SUPPORT = join(import.meta.dirname, "..", "support");

const folder = mkdtempSync(join(tmpdir(), "rillmq-interop-"));
const closings: (() => Promise<void>)[] = [];
const urls = new Map<Transport, URL>();
/** File; undefined: no openssl, and so no secure listeners. */
let ca: string | undefined;

before(async () => {
  const listen = ["mqtt://127.0.0.1:0", "ws://127.0.0.1:0", `unix://${join(folder, "mqtt.sock")}`];
  let tls: object = {};
  if (findProgram("openssl") !== undefined) {
    const authority = TestAuthority.createIn(folder);
    ca = authority.ca;
    listen.push("mqtts://127.0.0.1:0", "wss://127.0.0.1:0");
    tls = { tls: authority.sign("edge", "localhost") };
  }
  const home = new BrokerHome({ after: (close) => closings.push(close) });
  const config = { listeners: listen.map((url) => ({ url })), ...tls };
  const broker = await home.start({ config });
  for (const text of broker.urls) {
    const url = new URL(text);
    urls.set(url.protocol.slice(0, -1) as Transport, url);
  }
});

after(async () => {
  for (const close of closings) await close();
  rmSync(folder, { recursive: true, force: true });
});

interface Cell {
  readonly version: Version;
  readonly transport: Transport;
  readonly url: URL;
  /** One of its own. */
  readonly topic: string;
}

type Exchange = (t: TestContext, cell: Cell) => Promise<void>;

async function jsClient(t: TestContext, { version, url }: Cell): Promise<MqttClient> {
  const isUnix = url.protocol === "unix:";
  const options: IClientOptions = {
    protocolVersion: version,
    ...(version === 3 ? { protocolId: "MQIsdp" } : {}),
    ...(isUnix ? { path: url.pathname } : {}),
    ...(ca === undefined ? {} : { ca: readFileSync(ca) }),
    clientId: `js-${version}-${Math.random().toString(36).slice(2, 8)}`,
    reconnectPeriod: 0,
  };
  const client = await connectAsync(isUnix ? "mqtt+unix://" : url.href, options);
  t.after(() => client.endAsync(true));
  return client;
}

async function withMqttJs(t: TestContext, cell: Cell): Promise<void> {
  const publisher = await jsClient(t, cell);
  await publisher.publishAsync(cell.topic, "kept", { qos: 2, retain: true });
  const subscriber = await jsClient(t, cell);
  const arrived = new Promise<string>((resolve) => {
    subscriber.once("message", (_topic, payload) => resolve(payload.toString()));
  });
  await subscriber.subscribeAsync(cell.topic, { qos: 2 });
  assert.equal(await arrived, "kept");
}

async function withMosquitto(t: TestContext, cell: Cell): Promise<void> {
  const pub = requireProgram(t, "mosquitto_pub");
  const sub = requireProgram(t, "mosquitto_sub");
  if (pub === undefined || sub === undefined) return;
  const { transport, url, topic, version } = cell;
  const where =
    transport === "unix" ? ["--unix", url.pathname] : ["-h", url.hostname, "-p", url.port];
  const secure = transport === "mqtts" ? ["--cafile", ca ?? ""] : [];
  const name = { 3: "mqttv31", 4: "mqttv311", 5: "mqttv5" }[version];
  const common = [...where, ...secure, "-V", name, "-t", topic, "-q", "2"];
  await new Program(t, pub, [...common, "-m", "kept", "-r"]).done();
  const lines = await new Program(t, sub, [...common, "-C", "1", "-W", "15"]).done();
  assert.deepEqual(lines, ["kept"]);
}

async function withPahoPython(t: TestContext, cell: Cell): Promise<void> {
  if (spawnSync(PYTHON, ["-c", "import paho.mqtt.client"]).status !== 0) {
    t.skip("SKIPPED: needs python3-paho-mqtt");
    return;
  }
  const { transport, url, topic, version } = cell;
  const isWebSocket = transport === "ws" || transport === "wss";
  const isSecure = transport === "mqtts" || transport === "wss";
  const how = [url.hostname, url.port, `${version}`, isWebSocket ? "websockets" : "tcp", topic];
  const script = join(SUPPORT, "paho_cell.py");
  const args = [script, ...how, ...(isSecure && ca !== undefined ? [ca] : [])];
  assert.deepEqual(await new Program(t, PYTHON, args).done(), ["ok"]);
}

let pahoC: string | undefined;

/** The program for Paho C, compiled once; undefined: there is no compiler or no library. */
function buildPahoC(): string | undefined {
  if (pahoC !== undefined) return pahoC;
  const target = join(folder, "paho_cell");
  const source = join(SUPPORT, "paho_cell.c");
  const { status } = spawnSync("gcc", ["-o", target, source, "-lpaho-mqtt3cs"]);
  if (status === 0) pahoC = target;
  return pahoC;
}

const PAHO_C_SCHEMES = { mqtt: "tcp", mqtts: "ssl", ws: "ws", wss: "wss", unix: "unix" } as const;

async function withPahoC(t: TestContext, cell: Cell): Promise<void> {
  const program = buildPahoC();
  if (program === undefined) {
    t.skip("SKIPPED: needs gcc and libpaho-mqtt-dev");
    return;
  }
  const { transport, url, topic, version } = cell;
  const isSecure = transport === "mqtts" || transport === "wss";
  const uri = `${PAHO_C_SCHEMES[transport]}://${url.host}${url.pathname}`;
  const args = [uri, `${version}`, topic, ...(isSecure && ca !== undefined ? [ca] : [])];
  assert.deepEqual(await new Program(t, program, args).done(), ["ok"]);
}

async function withCurl(t: TestContext, cell: Cell): Promise<void> {
  const curl = requireProgram(t, "curl");
  if (curl === undefined) return;
  if (!spawnSync(curl, ["--version"]).stdout.toString().includes(" mqtt")) {
    t.skip("SKIPPED: needs curl with mqtt");
    return;
  }
  const helper = await jsClient(t, cell);
  const arrived = new Promise<string>((resolve) => {
    helper.once("message", (_topic, payload) => resolve(payload.toString()));
  });
  await helper.subscribeAsync(`${cell.topic}/up`, { qos: 0 });
  const base = `mqtt://${cell.url.host}/${cell.topic}`;
  await new Program(t, curl, ["-s", "-d", "kept", `${base}/up`]).done();
  assert.equal(await arrived, "kept");
  await helper.publishAsync(`${cell.topic}/down`, "kept", { qos: 1, retain: true });
  // It goes on until it is stopped.
  await new Program(t, curl, ["-s", "-N", "--output", "-", `${base}/down`]).says("kept");
}

const EXCHANGES: Readonly<Record<ClientName, Exchange>> = {
  mqttJs: withMqttJs,
  mosquitto: withMosquitto,
  pahoPython: withPahoPython,
  pahoC: withPahoC,
  curl: withCurl,
};

for (const { client, version, transports } of ROWS) {
  for (const transport of transports) {
    const title = `${CLIENTS[client]}, MQTT ${VERSION_NAMES[version]} over ${transport}`;
    test(title, { timeout: 2 * WAIT_MS }, async (t) => {
      const url = urls.get(transport);
      if (url === undefined) {
        requireProgram(t, "openssl");
        return;
      }
      const topic = `cell/${client}/${version}/${transport}`;
      await EXCHANGES[client](t, { version, transport, url, topic });
    });
  }
}

test("docs/interoperability.md has this table", () => {
  const file = join(import.meta.dirname, "..", "..", "docs", "interoperability.md");
  const hint = "write it again: node --import tsx test/support/interoperability-table.ts";
  assert.equal(readFileSync(file, "utf8"), interoperabilityDoc(), hint);
});

// What each client does in full, over TCP: every QoS, retained messages, durable sessions, wills.

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
    const lines = await new Program(t, PYTHON, [
      join(SUPPORT, "paho_client.py"),
      `${port}`,
      version,
    ]).done();
    assert.deepEqual(lines, ["ok exchange", "ok retained", "ok durable", "ok will"]);
  });
}
