import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Aedes } from "aedes";
import { TcpProxy } from "../../firmware-sim/central/tcp-proxy.ts";
import { Fleet, type FleetOptions } from "../../firmware-sim/fleet.ts";
import { decodeProfile } from "../../firmware-sim/profile.ts";
import { checkSink, type SinkRecord } from "../../firmware-sim/sink-check.ts";
import { decodeSinkRecord } from "../../firmware-sim/sink-record.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const DEADLINE_MS = 15_000;

async function until(what: string, condition: () => boolean): Promise<void> {
  const endMs = performance.now() + DEADLINE_MS;
  while (!condition()) {
    assert.ok(performance.now() < endMs, `still waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** An independent broker; every message that it takes from a device becomes a record. */
class Sink {
  readonly records: SinkRecord[] = [];
  port = 0;
  #broker: Aedes | undefined;
  #server: Server | undefined;

  async open(): Promise<void> {
    const broker = await Aedes.createBroker({ concurrency: 0 });
    broker.on("publish", (packet, client) => {
      if (client === null) return;
      const id = String(this.records.length);
      this.records.push(decodeSinkRecord(packet.topic, Buffer.from(packet.payload), id));
    });
    const server = createServer({ noDelay: true }, broker.handle);
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    this.port = (server.address() as AddressInfo).port;
    this.#broker = broker;
    this.#server = server;
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#broker?.close(() => resolve());
    });
    await new Promise<void>((resolve) => {
      this.#server?.close(() => resolve());
    });
  }
}

const optionsOf = (port: number, rest: Partial<FleetOptions>): FleetOptions => ({
  urls: [`mqtt://127.0.0.1:${port}`],
  profile: decodeProfile("sensor=2,alarm=2,flaky=2"),
  messages: 600,
  ratePerSecond: 500,
  outstandingMax: 20,
  seed: 42,
  protocol: "4",
  run: "test",
  ...rest,
});

describe("a fleet", () => {
  const sink = new Sink();
  before(() => sink.open());
  after(() => sink.close());

  test("publishes exactly its share and keeps a ledger that the sink agrees with", async () => {
    const fleet = new Fleet(optionsOf(sink.port, { run: "plain" }));
    sink.records.length = 0;
    fleet.start();
    try {
      await until("the fleet to finish", () => fleet.isDone);
    } finally {
      await fleet.stop();
    }
    const report = checkSink(fleet.ledgers, sink.records);
    assert.equal(report.published, 600);
    assert.equal(report.acknowledged, 600);
    assert.equal(report.distinct, 600);
    assert.equal(report.lost, 0);
    assert.equal(report.unknown, 0);
    assert.equal(report.orderViolations, 0);
    assert.equal(report.repeatedQos2, 0);
  });

  test("sends again after broken connections, in order, and QoS 2 never twice", async () => {
    const proxy = await TcpProxy.start({ host: "127.0.0.1", port: sink.port });
    const { port } = proxy;
    const fleet = new Fleet(
      optionsOf(port, {
        run: "cut",
        profile: decodeProfile("sensor=2,alarm=3"),
        messages: 2_000,
        ratePerSecond: 100,
      }),
    );
    sink.records.length = 0;
    fleet.start();
    try {
      for (const published of [200, 500, 800]) {
        await until("progress", () => {
          const now = fleet.progress();
          return now.published >= published && now.connected === now.devices;
        });
        const stored = sink.records.length;
        proxy.block("backward");
        await until("a message without its acknowledgement", () => sink.records.length > stored);
        proxy.drop();
        proxy.heal();
      }
      await until("the fleet to finish", () => fleet.isDone);
    } finally {
      await fleet.stop();
      await proxy.stop();
    }
    const report = checkSink(fleet.ledgers, sink.records);
    assert.equal(report.lost, 0);
    assert.equal(report.distinct, 2_000);
    assert.equal(report.orderViolations, 0);
    assert.ok(report.repeated > 0, "a QoS 1 device cannot know and sends again");
    assert.equal(report.repeatedQos2, 0);
    assert.ok(fleet.progress().connects >= 20, "every device came back each time");
  });
});

async function exitCodeOf(script: string, ...flags: string[]): Promise<number | null> {
  const argv = ["--import", "tsx", join(ROOT, "firmware-sim", script), ...flags];
  const child = spawn(process.execPath, argv, { cwd: ROOT, stdio: "ignore" });
  return await new Promise((resolve) => {
    child.once("exit", resolve);
  });
}

describe("the commands", () => {
  test("sim exits 0 when all is acknowledged, 1 when not and 2 for a wrong flag", async () => {
    const sink = new Sink();
    await sink.open();
    const url = `mqtt://127.0.0.1:${sink.port}`;
    const fast = ["--url", url, "--protocol", "4", "--messages", "50", "--rate", "500"];
    try {
      assert.equal(await exitCodeOf("main.ts", ...fast, "--json"), 0);
    } finally {
      await sink.close();
    }
    assert.equal(await exitCodeOf("main.ts", ...fast, "--timeout", "0.5"), 1);
    assert.equal(await exitCodeOf("main.ts", "--devices", "none"), 2);
  });

  test("demo exits 2 for a wrong flag or value and 0 for --help", async () => {
    assert.equal(await exitCodeOf("demo.ts", "--sabotage", "maybe"), 2);
    assert.equal(await exitCodeOf("demo.ts", "--nonsense"), 2);
    assert.equal(await exitCodeOf("demo.ts", "--help"), 0);
  });
});
