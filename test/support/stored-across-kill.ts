/** What every form of the broker must do: accept, store, be killed, and find everything. */
import assert from "node:assert/strict";
import { connectAsync, type MqttClient } from "mqtt";

const MESSAGES = 50;
const WAIT_MS = 60_000;
const CLIENT_ID = "finder";
const TOPIC = "plant/kept";

/** One run of a broker. */
export interface KillableBroker {
  readonly port: number;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
}

const open = (port: number, clientId: string, clean: boolean): Promise<MqttClient> =>
  connectAsync(`mqtt://127.0.0.1:${port}`, {
    clientId,
    clean,
    reconnectPeriod: 0,
    connectTimeout: WAIT_MS,
    ...(clean ? {} : { protocolVersion: 5, properties: { sessionExpiryInterval: 3_600 } }),
  });

/** Publishes with QoS 1 to a durable session that is away, kills the broker, starts it again and takes what waits. */
export async function checkStoredAcrossKill(start: () => Promise<KillableBroker>): Promise<void> {
  const broker = await start();
  const away = await open(broker.port, CLIENT_ID, false);
  await away.subscribeAsync(TOPIC, { qos: 1 });
  await away.endAsync(true);
  const publisher = await open(broker.port, "publisher", true);
  await publisher.publishAsync("plant/retained", "last", { qos: 1, retain: true });
  for (let i = 0; i < MESSAGES; i++) await publisher.publishAsync(TOPIC, String(i), { qos: 1 });
  publisher.on("error", () => undefined);
  await broker.kill();
  publisher.end(true);
  const restarted = await start();
  assert.deepEqual(await take(restarted.port), {
    kept: Array.from({ length: MESSAGES }, (_, i) => String(i)),
    retained: "last",
  });
}

interface Taken {
  readonly kept: readonly string[];
  readonly retained: string;
}

function take(port: number): Promise<Taken> {
  const kept: string[] = [];
  let retained: string | undefined;
  let client: MqttClient | undefined;
  return new Promise<Taken>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`found ${kept.length} of ${MESSAGES}, retained ${retained}`)),
      WAIT_MS,
    );
    const connecting = open(port, "retained-reader", true).then(async (reader) => {
      const message = new Promise<string>((found) =>
        reader.on("message", (_topic, payload) => found(String(payload))),
      );
      await reader.subscribeAsync("plant/retained", { qos: 1 });
      retained = await message;
      await reader.endAsync(true);
      client = await openWithHandler(port, (text) => {
        kept.push(text);
        if (kept.length < MESSAGES) return;
        clearTimeout(timer);
        resolve({ kept, retained: retained ?? "" });
      });
    });
    connecting.catch(reject);
  }).finally(() => client?.end(true));
}

/** The handler is there before the first message can be. */
async function openWithHandler(port: number, onText: (text: string) => void): Promise<MqttClient> {
  const { connect } = await import("mqtt");
  const client = connect(`mqtt://127.0.0.1:${port}`, {
    clientId: CLIENT_ID,
    clean: false,
    protocolVersion: 5,
    properties: { sessionExpiryInterval: 3_600 },
    reconnectPeriod: 0,
    connectTimeout: WAIT_MS,
  });
  client.on("message", (_topic, payload) => onText(String(payload)));
  client.on("error", () => undefined);
  return client;
}
