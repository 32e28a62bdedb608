import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError, loadConfig } from "../../src/config.ts";
import { networkOf } from "../../src/config-address.ts";

/** Paths of the mistakes in a configuration given as variables. */
function mistakesIn(env: Readonly<Record<string, string>>): string[] {
  try {
    loadConfig({ env });
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.mistakes.map(({ path }) => path).sort();
  }
  return [];
}

test("The shortest keep alive is not above the longest, and nobody looks at $SYS more often than ten times a second.", () => {
  assert.deepEqual(
    mistakesIn({
      RILLMQ_MQTT_KEEP_ALIVE_MIN_SECONDS: "61",
      RILLMQ_MQTT_KEEP_ALIVE_MAX_SECONDS: "60",
      RILLMQ_MQTT_SYS_INTERVAL_MS: "99",
    }),
    ["mqtt.keepAliveMinSeconds", "mqtt.sysIntervalMs"],
  );
  for (const interval of ["0", "100", "1h"]) {
    assert.deepEqual(mistakesIn({ RILLMQ_MQTT_SYS_INTERVAL_MS: interval }), []);
  }
});

test("Proxies are given as networks or addresses, at least one, and not for unix sockets.", () => {
  const listeners = [
    '{ url: "mqtt://127.0.0.1:1", proxyProtocol: { from: ["10.0.0.0/8", "fd00::/8", "192.0.2.1"] } }',
    '{ url: "ws://127.0.0.1:2", proxyProtocol: { from: [] } }',
    '{ url: "ws://127.0.0.1:3", proxyProtocol: { from: ["10.0.0.0/33"] } }',
    '{ url: "ws://127.0.0.1:4", proxyProtocol: {} }',
    '{ url: "unix:///run/a.sock", proxyProtocol: { from: ["10.0.0.0/8"] } }',
  ];
  assert.deepEqual(mistakesIn({ RILLMQ_LISTENERS: `[${listeners.join(", ")}]` }), [
    "listeners[1].proxyProtocol.from",
    "listeners[2].proxyProtocol.from[0]",
    "listeners[3].proxyProtocol.from",
    "listeners[4].proxyProtocol",
  ]);
});

test("A network is an address with as many bits as it has, and nothing else is.", () => {
  assert.deepEqual(networkOf("10.0.0.0/8"), { address: "10.0.0.0", prefix: 8 });
  assert.deepEqual(networkOf("0.0.0.0/0"), { address: "0.0.0.0", prefix: 0 });
  assert.deepEqual(networkOf("192.0.2.1"), { address: "192.0.2.1", prefix: 32 });
  assert.deepEqual(networkOf("fd00::/8"), { address: "fd00::", prefix: 8 });
  assert.deepEqual(networkOf("::1"), { address: "::1", prefix: 128 });
  const none = [
    "",
    "/8",
    "10.0.0.0/",
    "10.0.0.0/33",
    "fd00::/129",
    "10.0.0.0/08",
    "10.0.0/8",
    "host",
  ];
  for (const text of [...none, "10.0.0.0/8/8", "fe80::1%eth0"])
    assert.equal(networkOf(text), undefined, text);
});
