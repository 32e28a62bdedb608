import { type AddressInfo, createServer, type Server } from "node:net";
import { Aedes } from "aedes";
import { connect, connectAsync, type IClientOptions } from "mqtt";
import type { SinkRecord } from "../sink-check.ts";
import { decodeSinkRecord } from "../sink-record.ts";
import type { Centre, CentreContents } from "./centre.ts";

const HOST = "127.0.0.1";
const TOPIC_ROOT = "edge/";
/** The reader has everything that the broker accepted and waits this long for anything more. */
const SURPLUS_QUIET_MS = 300;
/** The reader gives up on missing messages after this long without one. */
const MISSING_QUIET_MS = 5_000;
const READ_CHECK_MS = 20;

/** The reader's durable session: it exists before the edge starts and is taken up after the edge has stopped. */
const READER: IClientOptions = {
  clientId: "auditor",
  clean: false,
  protocolVersion: 4,
  resubscribe: false,
  reconnectPeriod: 0,
  timerVariant: "native",
};

/**
 * An embedded central MQTT broker (aedes, everything in memory). It speaks MQTT 3.1.1 only, so record ids, which
 * travel as a user property, do not get through. What arrives is kept by the broker itself in the durable session of
 * an absent reader.
 */
export class MqttCentre implements Centre {
  readonly title = "embedded MQTT broker (aedes, MQTT 3.1.1)";
  readonly hasRecordIds = false;
  #broker: Aedes | undefined;
  #server: Server | undefined;
  #port = 0;
  #accepted = 0;

  async start(): Promise<{ host: string; port: number }> {
    const broker = await Aedes.createBroker({ concurrency: 0 });
    broker.on("publish", (packet) => {
      if (packet.topic.startsWith(TOPIC_ROOT)) this.#accepted += 1;
    });
    this.#broker = broker;
    const server = createServer({ noDelay: true }, broker.handle);
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, HOST, resolve);
    });
    this.#port = (server.address() as AddressInfo).port;
    const reader = await connectAsync(this.#url, READER);
    await reader.subscribeAsync(`${TOPIC_ROOT}#`, { qos: 1 });
    await reader.endAsync();
    return { host: HOST, port: this.#port };
  }

  uplinkSettings(proxyPort: number): Readonly<Record<string, unknown>> {
    return { driver: "mqtt", url: `mqtt://${HOST}:${proxyPort}`, protocolVersion: 4 };
  }

  arrived(): number {
    return this.#accepted;
  }

  disturb(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  recover(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async read(): Promise<CentreContents> {
    const records: SinkRecord[] = [];
    let lastAtMs = performance.now();
    // Not connectAsync: messages come right behind the CONNACK, so the handler must be there before.
    const reader = connect(this.#url, READER);
    reader.on("error", () => undefined);
    reader.on("message", (topic, payload) => {
      records.push(decodeSinkRecord(topic, payload, undefined));
      lastAtMs = performance.now();
    });
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        const isComplete = records.length >= this.#accepted;
        const quietMs = isComplete ? SURPLUS_QUIET_MS : MISSING_QUIET_MS;
        if (performance.now() - lastAtMs < quietMs) return;
        clearInterval(timer);
        resolve();
      }, READ_CHECK_MS);
    });
    await reader.endAsync();
    return { records, accepted: this.#accepted };
  }

  async close(): Promise<void> {
    const broker = this.#broker;
    if (broker !== undefined) await new Promise<void>((resolve) => broker.close(() => resolve()));
    const server = this.#server;
    if (server !== undefined) {
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    }
  }

  get #url(): string {
    return `mqtt://${HOST}:${this.#port}`;
  }
}
