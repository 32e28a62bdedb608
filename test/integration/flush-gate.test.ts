import assert from "node:assert/strict";
import { test } from "node:test";
import { ProtocolVersion } from "../../src/mqtt/packet.ts";
import { BrokerHome } from "../support/broker-process.ts";
import { runExchanges, tooEarly } from "../support/flush-exchanges.ts";
import { startHastyBroker } from "../support/hasty-broker.ts";
import { buildShim } from "../support/shim.ts";

const DELAY_MS = 300;
/** Exchanges that `runExchanges` has at least. */
const EXCHANGES_MIN = 29;

const shim = buildShim("slow-sync");
const skip = shim === undefined ? "SKIPPED: needs gcc on Linux" : false;
const streams = [{ name: "captured", filters: ["v5/#"] }];

for (const [name, version] of [
  ["3.1.1", ProtocolVersion.v311],
  ["5", ProtocolVersion.v5],
] as const) {
  test(`MQTT ${name}: on a disk that takes ${DELAY_MS} ms nothing is acknowledged earlier`, {
    skip,
  }, async (t) => {
    const home = new BrokerHome(t);
    const env = { LD_PRELOAD: shim, SLOW_SYNC_MS: `${DELAY_MS}` };
    const broker = await home.start({ env, config: { streams } });
    const exchanges = await runExchanges(broker.port, version, `v${version}`);
    assert.ok(exchanges.length >= EXCHANGES_MIN, `${exchanges.length} exchanges`);
    assert.deepEqual(tooEarly(exchanges, DELAY_MS), []);
  });
}

test("control: without the delay the same broker answers earlier", { skip }, async (t) => {
  const home = new BrokerHome(t);
  const env = { LD_PRELOAD: shim, SLOW_SYNC_MS: "0" };
  const broker = await home.start({ env, config: { streams } });
  const exchanges = await runExchanges(broker.port, ProtocolVersion.v5, "v5");
  // Not all: this machine may be busy.
  const early = tooEarly(exchanges, DELAY_MS);
  assert.ok(early.length > exchanges.length / 2, JSON.stringify(exchanges));
});

test("control: a broker that acknowledges at once is caught at every exchange", async (t) => {
  const port = await startHastyBroker(t);
  const exchanges = await runExchanges(port, ProtocolVersion.v5, "v5");
  assert.ok(exchanges.length >= EXCHANGES_MIN);
  const early = tooEarly(exchanges, DELAY_MS).map(({ what }) => what);
  for (const { what } of exchanges) assert.ok(early.includes(what), `${what} was not caught`);
});
