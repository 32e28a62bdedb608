import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
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
import { Program } from "../support/program.ts";
import { findProgram, requireProgram } from "../support/requirements.ts";

const WAIT_MS = 15_000;
const PYTHON = "/usr/bin/python3";
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
