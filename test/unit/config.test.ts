import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parse } from "yaml";
import { configurationDoc } from "../../scripts/configuration-doc.ts";
import {
  type Config,
  ConfigError,
  type ConfigMistake,
  type ConfigSources,
  configText,
  loadConfig,
  loadConfigAndOrigin,
} from "../../src/config.ts";
import { httpAddress, listenerEndpoint } from "../../src/config-address.ts";
import { environmentSettings, variableOf } from "../../src/config-environment.ts";
import { configJsonSchema, type JsonSchema } from "../../src/config-schema.ts";

const folder = mkdtempSync(join(tmpdir(), "rillmq-config-"));
after(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;

function file(text: string): string {
  const path = join(folder, `${++files}.yaml`);
  writeFileSync(path, text);
  return path;
}

/** The mistakes of a configuration that must have some. */
function mistakesOf(sources: ConfigSources): readonly ConfigMistake[] {
  try {
    loadConfig(sources);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.mistakes;
  }
  return assert.fail("the configuration was taken");
}

const pathsOf = (sources: ConfigSources): string[] =>
  mistakesOf(sources).map((mistake) => mistake.path);

const EXAMPLE = `
edgeId: plant-7
listeners: [{ url: mqtt://127.0.0.1:1883 }]
streams: [{ name: telemetry, filters: ["sim/#"], maxBytes: 1GiB, whenFull: reject }]
uplinks:
  - name: centre
    driver: nats
    url: nats://127.0.0.1:4222
    lanes: [{ stream: telemetry, class: normal }]
`;

test("without any source every setting has its default", () => {
  const config = loadConfig({});
  assert.equal(config.edgeId, undefined);
  assert.equal(config.data, "./data");
  assert.deepEqual(httpAddress(config), { host: "127.0.0.1", port: 9883 });
  assert.deepEqual(config.listeners, [{ url: "mqtt://127.0.0.1:1883" }]);
  assert.equal(config.store.maxBytes, 4 * 1024 ** 3);
  assert.equal(config.mqtt.connectTimeoutMs, 10_000);
  assert.equal(config.mqtt.sessionExpiryMaxSeconds, 7 * 86_400);
  assert.equal(config.log.level, "info");
});

test("the documented example is taken", () => {
  const config = loadConfig({ file: file(EXAMPLE) });
  assert.equal(config.edgeId, "plant-7");
  assert.deepEqual(config.streams, [
    {
      name: "telemetry",
      filters: ["sim/#"],
      maxBytes: 1024 ** 3,
      maxAgeMs: 0,
      whenFull: "reject",
    },
  ]);
  const [uplink] = config.uplinks;
  assert.equal(uplink?.driver, "nats");
  assert.deepEqual(uplink.urls, ["nats://127.0.0.1:4222"]);
  assert.deepEqual(uplink.lanes, [{ stream: "telemetry", class: "normal" }]);
});

test("flags go over the environment, the environment over the file, the file over defaults", () => {
  const path = file("data: /file\nhttp: 127.0.0.1:1\nlog: { level: warn }\n");
  const env = { RILLMQ_DATA: "/env", RILLMQ_HTTP: "127.0.0.1:2" };
  const config = loadConfig({ file: path, env, flags: { data: "/flag" } });
  assert.equal(config.data, "/flag");
  assert.equal(config.http, "127.0.0.1:2");
  assert.equal(config.log.level, "warn");
  assert.equal(config.store.lingerMs, 0);
});

test("the flag --listen replaces all listeners", () => {
  const path = file('listeners: [{ url: "mqtt://127.0.0.1:1" }, { url: "mqtt://127.0.0.1:2" }]');
  const config = loadConfig({ file: path, flags: { listen: ["mqtt://127.0.0.1:0"] } });
  assert.deepEqual(config.listeners, [{ url: "mqtt://127.0.0.1:0" }]);
});

test("a given HTTP address is told from the default, wherever it was given", () => {
  assert.equal(loadConfigAndOrigin({}).isHttpGiven, false);
  assert.equal(loadConfigAndOrigin({ flags: { http: "127.0.0.1:9883" } }).isHttpGiven, true);
  assert.equal(loadConfigAndOrigin({ env: { RILLMQ_HTTP: "off" } }).isHttpGiven, true);
  assert.equal(httpAddress(loadConfig({ env: { RILLMQ_HTTP: "off" } })), undefined);
});

test("an environment variable reaches a setting inside a list", () => {
  const env = {
    RILLMQ_EDGE_ID: "plant-8",
    RILLMQ_STREAMS_0_MAX_BYTES: "2MiB",
    RILLMQ_STREAMS_0_FILTERS_1: "more/+",
    RILLMQ_UPLINKS_0_URL: "nats://centre:4223",
    RILLMQ_UPLINKS_0_PASSWORD: "123456",
    RILLMQ_UPLINKS_0_USERNAME: "edge",
    RILLMQ_UPLINKS_0_WINDOW: "17",
    RILLMQ_ALLOW_ANONYMOUS: "true",
    RILLMQ_MQTT_KEEP_ALIVE_MAX_SECONDS: "5m",
    RILLMQ_LOG_LEVEL: "",
  };
  const config = loadConfig({ file: file(EXAMPLE), env });
  assert.equal(config.edgeId, "plant-8");
  assert.equal(config.streams[0]?.maxBytes, 2 * 1024 ** 2);
  assert.deepEqual(config.streams[0]?.filters, ["sim/#", "more/+"]);
  const [uplink] = config.uplinks;
  assert.deepEqual(uplink?.urls, ["nats://centre:4223"]);
  assert.equal(uplink?.password, "123456");
  assert.equal(uplink?.window, 17);
  assert.equal(config.allowAnonymous, true);
  assert.equal(config.mqtt.keepAliveMaxSeconds, 300);
  assert.equal(config.log.level, "info");
});

test("a list given as YAML in a variable is refined by the variables of its elements", () => {
  const env = {
    RILLMQ_STREAMS_0_NAME: "b",
    RILLMQ_STREAMS: '[{ name: a, filters: ["a/#"] }]',
  };
  assert.equal(loadConfig({ env }).streams[0]?.name, "b");
});

/** Every path of a leaf, lists with element 0. */
function* leaves(
  schema: JsonSchema,
  path: readonly (string | number)[] = [],
): Generator<readonly (string | number)[]> {
  const branches = schema.oneOf ?? [schema];
  for (const branch of branches) {
    if (branch.items !== undefined) yield* leaves(branch.items, [...path, 0]);
    const properties = Object.entries(branch.properties ?? {});
    for (const [key, property] of properties) yield* leaves(property, [...path, key]);
    if (branch.items === undefined && properties.length === 0) yield path;
  }
}

test("every setting has an environment variable of its own, and none is one of Kubernetes", () => {
  const variables = new Map<string, string>();
  const schema = configJsonSchema();
  for (const path of leaves(schema)) {
    const variable = variableOf(path);
    const text = path.join(".");
    assert.ok((variables.get(variable) ?? text) === text, `${variable} would set two things`);
    variables.set(variable, text);
    const [setting] = environmentSettings({ [variable]: "1" }, schema);
    assert.deepEqual(setting?.path, path, variable);
  }
  assert.ok(variables.size > 40, `${variables.size} settings`);
});

test("a variable that no setting goes by is a mistake, but for those that Kubernetes makes", () => {
  const links = {
    RILLMQ_SERVICE_HOST: "10.0.0.1",
    RILLMQ_SERVICE_PORT: "1883",
    RILLMQ_SERVICE_PORT_MQTT: "1883",
    RILLMQ_PORT: "tcp://10.0.0.1:1883",
    RILLMQ_PORT_1883_TCP: "tcp://10.0.0.1:1883",
    RILLMQ_PORT_1883_TCP_ADDR: "10.0.0.1",
    RILLMQ_HTTP_PORT_9883_TCP_PROTO: "tcp",
  };
  loadConfig({ env: { ...links, PATH: "/bin" } });
  const mistakes = mistakesOf({ env: { ...links, RILLMQ_DATTA: "x", RILLMQ_STREAMS_X_NAME: "y" } });
  assert.deepEqual(
    mistakes.map((mistake) => mistake.source),
    ["RILLMQ_DATTA", "RILLMQ_STREAMS_X_NAME"],
  );
});

test("all mistakes are reported at once with path, source and reason", () => {
  const path = file(`edgeId: "a b"
streams:
  - { name: t, filters: ["a/#/b"], maxBytes: 5 }
  - { name: t, filters: [], maxBytes: many, foo: 1 }
uplinks:
  - { name: u, driver: nats, lanes: [{ stream: zzz }], url: "mqtt://h" }
  - { name: u, driver: kafka }
listeners: [{ url: "mqtt://0.0.0.0:1883" }, { url: "mqttx://127.0.0.1" }]
mqtt: { maxPacketBytes: 100MiB, receiveMaximum: 0 }
store: { lingerMs: 51 }
`);
  const mistakes = mistakesOf({
    file: path,
    env: { RILLMQ_LOG_LEVEL: "loud" },
    flags: { http: "nowhere" },
  });
  const found = new Map(mistakes.map((mistake) => [mistake.path, mistake]));
  const expected: [path: string, source: string, reason: RegExp][] = [
    ["edgeId", `${path} line 1`, /letters/],
    ["streams[0].filters[0]", `${path} line 3`, /not a topic filter/],
    ["streams[0].maxBytes", `${path} line 3`, /64KiB to 16TiB/],
    ["streams[1].name", `${path} line 4`, /twice/],
    ["streams[1].filters", `${path} line 4`, /at least one/],
    ["streams[1].maxBytes", `${path} line 4`, /such as 64KiB/],
    ["streams[1].foo", `${path} line 4`, /no such setting/],
    ["uplinks[0].lanes[0].stream", `${path} line 6`, /no stream "zzz"/],
    ["uplinks[0].url", `${path} line 6`, /expected nats:/],
    ["uplinks[1].driver", `${path} line 7`, /'nats' \| 'mqtt'/],
    ["uplinks[1].name", `${path} line 7`, /twice/],
    ["listeners[0].url", `${path} line 8`, /allow-anonymous/],
    ["listeners[1].url", `${path} line 8`, /mqttx:\/\/ is not supported/],
    ["mqtt.receiveMaximum", `${path} line 9`, /1 to 65535/],
    ["store.lingerMs", `${path} line 10`, /0 to 50ms/],
    ["log.level", "RILLMQ_LOG_LEVEL", /"debug"/],
    ["http", "--http", /host:port/],
  ];
  for (const [at, source, reason] of expected) {
    assert.equal(found.get(at)?.source, source, at);
    assert.match(found.get(at)?.reason ?? "", reason, at);
  }
  const error = new ConfigError(mistakes);
  assert.equal(error.message.split("\n").length, mistakes.length + 1);
  assert.match(error.message, /^the configuration has \d+ mistakes:\n {2}\S/);
});

test("a listener beyond loopback needs allowAnonymous", () => {
  const refused = ["mqtt://0.0.0.0:1883", "mqtt://192.168.1.2", "mqtt://[::]:1883", "mqtt://edge"];
  for (const url of refused) {
    assert.deepEqual(pathsOf({ flags: { listen: [url] } }), ["listeners[0].url"], url);
    loadConfig({ flags: { listen: [url], allowAnonymous: true } });
  }
  const secure = { listen: ["wss://0.0.0.0"], tlsCert: "a", tlsKey: "b" };
  assert.deepEqual(pathsOf({ flags: secure }), ["listeners[0].url"]);
  const local = ["mqtt://127.9.9.9", "mqtt://localhost:0", "ws://[::1]:1883", "unix:///run/a.sock"];
  for (const url of local) {
    loadConfig({ flags: { listen: [url] } });
  }
  // The name only starts like a loopback address.
  assert.equal(pathsOf({ flags: { listen: ["mqtt://127.0.0.1.example.com"] } }).length, 1);
});

test("a listener's URL says how and where, and nothing else", () => {
  const tcp = { kind: "tcp", isSecure: false } as const;
  const webSocket = {
    kind: "websocket",
    isSecure: false,
    isNative: false,
    host: "127.0.0.1",
  } as const;
  const native = { ...webSocket, isNative: true } as const;
  const good = [
    ["mqtt://[::1]", { ...tcp, host: "::1", port: 1883 }],
    ["mqtt://localhost:0/", { ...tcp, host: "localhost", port: 0 }],
    ["mqtts://localhost", { ...tcp, isSecure: true, host: "localhost", port: 8883 }],
    ["ws://127.0.0.1:9001", { ...webSocket, port: 9001, path: "/mqtt" }],
    ["ws://127.0.0.1:80/", { ...webSocket, port: 80, path: "/mqtt" }],
    ["wss://127.0.0.1/a/b", { ...webSocket, isSecure: true, port: 443, path: "/a/b" }],
    ["rill://127.0.0.1", { ...native, port: 7455, path: "/rill" }],
    ["rills://127.0.0.1:1/a", { ...native, isSecure: true, port: 1, path: "/a" }],
    ["unix:///run/rill%20mq.sock", { kind: "unix", path: "/run/rill mq.sock" }],
    ["mqtt+unix:///run/mqtt.sock", { kind: "unix", path: "/run/mqtt.sock" }],
  ] as const;
  for (const [url, endpoint] of good) assert.deepEqual(listenerEndpoint(url), endpoint, url);
  const bad = [
    "1883",
    "mqtt://",
    "mqtt://127.0.0.1:99999",
    "mqtt://127.0.0.1/x",
    "ws://127.0.0.1/mqtt?x",
    "unix://run/mqtt.sock",
    "unix:///run/",
    "unix:///run/%zz",
    "http://127.0.0.1",
  ];
  for (const url of bad) assert.equal(pathsOf({ flags: { listen: [url] } }).length, 1, url);
});

test("secure listeners need a certificate, their own or the common one", () => {
  const listen = ["mqtts://127.0.0.1", "wss://127.0.0.1"];
  assert.deepEqual(pathsOf({ flags: { listen } }), ["listeners[0].url", "listeners[1].url"]);
  const flags = { listen, tlsCert: "a.crt", tlsKey: "a.key" };
  const { tls } = loadConfig({ flags });
  assert.deepEqual(tls, {
    cert: "a.crt",
    key: "a.key",
    requestClientCert: false,
    minVersion: "TLSv1.2",
  });
  assert.deepEqual(pathsOf({ flags: { listen, tlsCert: "a.crt" } }), ["tls.key"]);
  const own = `listeners: [{ url: "mqtts://127.0.0.1", tls: { cert: a, key: b } }]`;
  assert.equal(loadConfig({ file: file(own) }).listeners[0]?.tls?.cert, "a");
});

test("settings of a listener fit its kind", () => {
  const path = file(`listeners:
  - { url: "mqtt://127.0.0.1:1", tls: { cert: a, key: b } }
  - { url: "mqtt://127.0.0.1:2", origins: ["*"] }
  - { url: "ws://127.0.0.1:3", mode: "0660" }
  - { url: "unix:///run/a.sock", mode: 0660 }
  - { url: "mqtts://127.0.0.1:4", tls: { cert: a, key: b, requestClientCert: true } }
  - { url: "unix:///run/b.sock", mode: "0660" }
  - { url: "wss://127.0.0.1:5", tls: { cert: a, key: b }, origins: ["https://app.example"] }
  - { url: "unix:///run/b.sock" }
`);
  assert.deepEqual(pathsOf({ file: path }).sort(), [
    "listeners[0].tls",
    "listeners[1].origins",
    "listeners[2].mode",
    "listeners[3].mode",
    "listeners[4].tls.ca",
    "listeners[7].url",
  ]);
});

test("no mistake repeats a password that was put into a URL", () => {
  const env = {
    RILLMQ_UPLINKS: "[{ name: c, driver: mqtt, lanes: [{ stream: t }] }]",
    RILLMQ_UPLINKS_0_URL: "mqtt://user:hunter2@centre:1883",
  };
  const mistakes = mistakesOf({ env });
  assert.ok(mistakes.some((mistake) => mistake.path === "uplinks[0].url"));
  assert.ok(!JSON.stringify(mistakes).includes("hunter2"));
});

test("listeners, streams, filters, uplinks and lanes are there once", () => {
  const text = `
listeners: [{ url: "mqtt://127.0.0.1" }, { url: "mqtt://127.0.0.1:1883" }]
streams: [{ name: a, filters: [x] }, { name: a, filters: ["y/#", x] }]
uplinks:
  - { name: u, driver: mqtt, url: "mqtt://h", lanes: [{ stream: a }, { stream: a }] }
  - { name: u, driver: mqtt, url: "mqtt://h", urls: ["mqtt://h"], lanes: [{ stream: a }] }
`;
  assert.deepEqual(pathsOf({ file: file(text) }), [
    "listeners[1].url",
    "streams[1].name",
    "streams[1].filters[1]",
    "uplinks[1].name",
    "uplinks[0].lanes[1].stream",
    "uplinks[1].urls",
  ]);
  loadConfig({ flags: { listen: ["mqtt://127.0.0.1:0", "mqtt://127.0.0.1:0"] } });
});

test("settings that bound each other are compared", () => {
  const uplink = "{ name: u, driver: mqtt, url: mqtt://h, lanes: [{ stream: t }]";
  const text = `
streams: [{ name: t, filters: [t] }]
uplinks: [${uplink}, backoffMinMs: 2m }]
store: { pendingBytesMax: 512KiB }
`;
  assert.deepEqual(pathsOf({ file: file(text) }), [
    "uplinks[0].backoffMinMs",
    "mqtt.maxPacketBytes",
  ]);
});

test("a file that is missing, no YAML or no mapping is one mistake that names it", () => {
  const missing = join(folder, "missing.yaml");
  assert.match(new ConfigError(mistakesOf({ file: missing })).message, /missing\.yaml/);
  const broken = file("data: x\n  http: [\n");
  assert.ok(mistakesOf({ file: broken }).every(({ source }) => source.startsWith(broken)));
  assert.equal(mistakesOf({ file: file("- data\n") }).length, 1);
  assert.equal(mistakesOf({ file: file("data: x\ndata: y\n") }).length, 1);
  assert.equal(loadConfig({ file: file("# nothing\n") }).data, "./data");
});

test("a variable inside something that is no list or section is a mistake", () => {
  const sources = { file: file("uplinks: 5\n"), env: { RILLMQ_UPLINKS_0_URL: "mqtt://h" } };
  assert.deepEqual(pathsOf(sources), ["uplinks[0].url", "uplinks"]);
  assert.deepEqual(pathsOf({ env: { RILLMQ_STREAMS_1_NAME: "x" } }), ["streams[1].name"]);
});

test("the printed configuration hides secrets and is read back as the same", () => {
  const env = { RILLMQ_UPLINKS_0_PASSWORD: "hunter2", RILLMQ_UPLINKS_0_TOKEN: "hunter3" };
  const config = loadConfig({ file: file(EXAMPLE), env });
  const text = configText(config);
  assert.doesNotMatch(text, /hunter/);
  const shown = parse(text) as Config;
  assert.equal(shown.uplinks[0]?.password, "(redacted)");
  const restored = loadConfig({ file: file(text), env });
  assert.deepEqual(restored, config);
});

test("every setting that the schema calls write-only is hidden", () => {
  const names = (schema: JsonSchema): string[] => [
    ...Object.entries(schema.properties ?? {}).flatMap(([key, property]) => [
      ...(property.writeOnly === true ? [key] : []),
      ...names(property),
    ]),
    ...(schema.items === undefined ? [] : names(schema.items)),
    ...(schema.oneOf ?? []).flatMap(names),
  ];
  const secrets = new Set(names(configJsonSchema()));
  assert.deepEqual([...secrets].sort(), ["password", "token"]);
});

test("every setting says what it is for", () => {
  for (const path of leaves(configJsonSchema())) {
    if (typeof path.at(-1) === "number") continue;
    let schemas: readonly JsonSchema[] = [configJsonSchema()];
    for (const part of path) {
      schemas = schemas
        .flatMap((schema) => schema.oneOf ?? [schema])
        .flatMap((schema) =>
          typeof part === "number" ? (schema.items ?? []) : (schema.properties?.[part] ?? []),
        );
    }
    assert.ok(schemas.length > 0 && schemas.every((schema) => schema.description), path.join("."));
  }
});

test("docs/configuration.md is what the schema says", () => {
  const text = readFileSync(join(import.meta.dirname, "../../docs/configuration.md"), "utf8");
  assert.equal(text, configurationDoc(), "run: node --import tsx scripts/configuration-doc.ts");
});

test("response information is a topic name with names of the client in it", () => {
  const sourcesOf = (responseInformation: string): ConfigSources => ({
    file: file(JSON.stringify({ mqtt: { responseInformation } })),
  });
  const fine = "replies/%u/%c/100%%";
  assert.equal(loadConfig(sourcesOf(fine)).mqtt.responseInformation, fine);
  for (const bad of ["", "a/#", "+/b", "50%", "%x"]) {
    assert.deepEqual(pathsOf(sourcesOf(bad)), ["mqtt.responseInformation"]);
  }
});
