/** Shared subscriptions as others' clients use them: three members, one of which is killed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connectAsync, type MqttClient } from "mqtt";
import { BrokerHome } from "../support/broker-process.ts";
import { eventually } from "../support/json-process.ts";
import { Program } from "../support/program.ts";
import { requireProgram } from "../support/requirements.ts";

const MESSAGES = 300;
const WAIT_MS = 15_000;

/** One after the other: MQTT.js does not keep to the broker's Receive Maximum. */
async function publishAll(port: number): Promise<void> {
  const publisher = await connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 5 });
  for (let i = 0; i < MESSAGES; i++) {
    await publisher.publishAsync(`jobs/${i % 7}`, String(i), { qos: 1 });
  }
  await publisher.endAsync();
}

test("Three MQTT.js clients share the work; one dies with its share, and the others do it.", async (t) => {
  const { port } = await new BrokerHome(t).start();
  const got = new Map<string, string[]>();
  const members: MqttClient[] = [];
  for (const [index, protocolVersion] of ([5, 4, 5] as const).entries()) {
    const clientId = `member-${index}`;
    const client = await connectAsync(`mqtt://127.0.0.1:${port}`, {
      clientId,
      protocolVersion,
      clean: false,
      reconnectPeriod: 0,
      ...(protocolVersion === 5
        ? { properties: { sessionExpiryInterval: 3_600, receiveMaximum: 20 } }
        : {}),
    });
    t.after(() => client.endAsync(true));
    const payloads: string[] = [];
    got.set(clientId, payloads);
    if (index === 0) {
      // Takes its window and acknowledges nothing.
      client.handleMessage = () => undefined;
    } else {
      client.on("message", (_topic, payload) => payloads.push(payload.toString()));
    }
    await client.subscribeAsync("$share/workers/jobs/#", { qos: 1 });
    members.push(client);
  }
  await publishAll(port);
  const others = (): string[] => [...(got.get("member-1") ?? []), ...(got.get("member-2") ?? [])];
  await eventually("the window of one is missing", () => others().length >= MESSAGES - 20, WAIT_MS);
  assert.ok(new Set(others()).size < MESSAGES, "the first member got nothing");
  members[0]?.stream.destroy();
  await eventually("all came", () => new Set(others()).size === MESSAGES, WAIT_MS);
  assert.equal(others().length, MESSAGES);
});

test("Three mosquitto_sub get a third each.", async (t) => {
  const path = requireProgram(t, "mosquitto_sub");
  const stdbuf = requireProgram(t, "stdbuf");
  if (path === undefined || stdbuf === undefined) return;
  const { port } = await new BrokerHome(t).start();
  const members: Program[] = [];
  for (const [index, version] of ["mqttv5", "mqttv311", "mqttv5"].entries()) {
    const expiry = version === "mqttv5" ? ["-x", "3600"] : [];
    const common = ["-h", "127.0.0.1", "-p", `${port}`, "-V", version, "-i", `sub-${index}`, "-c"];
    const what = ["-d", "-F", "got %p", "-t", "$share/workers/jobs/#", "-q", "1", "-W", "30"];
    const member = new Program(t, stdbuf, ["-oL", path, ...common, ...expiry, ...what]);
    await member.says("Subscribed (mid");
    members.push(member);
  }
  await publishAll(port);
  const got = (): string[][] =>
    members.map(({ lines }) => lines.filter((line) => line.startsWith("got ")));
  await eventually("all came", () => got().flat().length >= MESSAGES, WAIT_MS);
  assert.equal(new Set(got().flat()).size, MESSAGES);
  for (const { length } of got()) assert.ok(length >= 50, `${got().map((each) => each.length)}`);
});
