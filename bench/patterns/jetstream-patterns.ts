import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  AckPolicy,
  type JetStreamClient,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
} from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { BrokerProcess, findFreePort } from "../peers/broker-process.ts";
import { OUTSTANDING, PAYLOAD_BYTES, type PatternPeer, type RunningPeer } from "./pattern-peer.ts";

const PAYLOAD = new Uint8Array(PAYLOAD_BYTES).fill(0x61);
const NANOS_PER_MINUTE = 60e9;

class RunningJetStream implements RunningPeer {
  readonly #server: BrokerProcess;
  readonly #one: NatsConnection;
  readonly #other: NatsConnection;
  readonly #streams: JetStreamManager;

  constructor(
    server: BrokerProcess,
    one: NatsConnection,
    other: NatsConnection,
    streams: JetStreamManager,
  ) {
    this.#server = server;
    this.#one = one;
    this.#other = other;
    this.#streams = streams;
  }

  async queue(seconds: number): Promise<number> {
    await this.#streams.streams.add({
      name: "queue",
      subjects: ["queue"],
      retention: RetentionPolicy.Workqueue,
      storage: StorageType.File,
    });
    const settings = { durable_name: "worker", ack_policy: AckPolicy.Explicit };
    await this.#streams.consumers.add("queue", { ...settings, ack_wait: NANOS_PER_MINUTE });
    const consumer = await jetstream(this.#other).consumers.get("queue", "worker");
    const sender = jetstream(this.#one);
    const end = performance.now() + seconds * 1_000;
    let count = 0;
    let underWay = 0;
    const send = (): void => {
      underWay++;
      sender.publish("queue", PAYLOAD).catch(() => undefined);
    };
    await new Promise<void>((resolve, reject) => {
      const finished = (): void => {
        underWay--;
        if (performance.now() < end) {
          count++;
          send();
        } else if (underWay === 0) resolve();
      };
      const callback = (message: { ackAck(): Promise<boolean> }): void => {
        message.ackAck().then(finished, reject);
      };
      consumer.consume({ max_messages: OUTSTANDING, callback }).catch(reject);
      for (let i = 0; i < OUTSTANDING; i++) send();
    });
    return count;
  }

  flushSeconds(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async append(seconds: number): Promise<number> {
    const storage = StorageType.File;
    await this.#streams.streams.add({ name: "stream", subjects: ["stream"], storage });
    const client: JetStreamClient = jetstream(this.#one);
    const end = performance.now() + seconds * 1_000;
    let count = 0;
    const one = async (): Promise<void> => {
      while (performance.now() < end) {
        await client.publish("stream", PAYLOAD);
        count++;
      }
    };
    await Promise.all(Array.from({ length: OUTSTANDING }, one));
    return count;
  }

  async read(): Promise<number> {
    const { state } = await this.#streams.streams.info("stream");
    const consumer = await jetstream(this.#one).consumers.get("stream");
    const messages = await consumer.consume({ max_messages: 5_000 });
    let count = 0;
    for await (const _message of messages) if (++count >= state.messages) break;
    return count;
  }

  async requests(seconds: number): Promise<number[]> {
    const reply = (_error: unknown, message: { respond(data: Uint8Array): boolean }): void => {
      message.respond(PAYLOAD);
    };
    this.#other.subscribe("echo", { callback: reply });
    await this.#other.flush();
    const times: number[] = [];
    const end = performance.now() + seconds * 1_000;
    for (let begin = performance.now(); begin < end; begin = performance.now()) {
      await this.#one.request("echo", PAYLOAD, { timeout: 5_000 });
      times.push(performance.now() - begin);
    }
    return times;
  }

  async stop(): Promise<void> {
    await Promise.all([this.#one.close(), this.#other.close()]);
    await this.#server.stop();
  }
}

/** JetStream in files on one node. `syncInterval`: when it syncs; undefined: as by default, every two minutes. */
export const jetstreamPatterns = (
  command: string,
  syncInterval: string | undefined,
): PatternPeer => ({
  name: syncInterval === undefined ? "jetstream" : `jetstream, sync ${syncInterval}`,
  conditions: `files, one node, sync_interval ${syncInterval ?? "as by default (2 minutes)"}`,
  async start(folder) {
    const port = await findFreePort();
    const interval = syncInterval === undefined ? {} : { sync_interval: syncInterval };
    const settings = {
      server_name: "bench",
      listen: `127.0.0.1:${port}`,
      jetstream: { store_dir: join(folder, "jetstream"), ...interval },
    };
    const file = join(folder, "nats.conf");
    writeFileSync(file, JSON.stringify(settings));
    const server = await BrokerProcess.startUntilAccepting(command, ["-c", file], port);
    const servers = `127.0.0.1:${port}`;
    const [one, other] = [await connect({ servers }), await connect({ servers })];
    return new RunningJetStream(server, one, other, await jetstreamManager(one));
  },
});
