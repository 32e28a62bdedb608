import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { WebSocket } from "ws";
import { codecOf } from "../../src/native/frame-codec.ts";
import { BrokerProcess, findFreePort } from "../peers/broker-process.ts";
import { RILLMQ_COMMAND } from "../peers/rillmq.ts";
import { OUTSTANDING, PAYLOAD_BYTES, type PatternPeer, type RunningPeer } from "./pattern-peer.ts";

const SUBPROTOCOL = "rill.v1+msgpack";
const PAYLOAD = Buffer.alloc(PAYLOAD_BYTES, 0x61);
const READ_MAX = 1_000;

type Fields = Readonly<Record<string, unknown>>;
type OnFrame = (frame: Fields) => void;

/** A connection whose frames of one turn leave as one message. */
class Wire {
  readonly #webSocket: WebSocket;
  readonly #codec = codecOf(SUBPROTOCOL);
  readonly #waiting = new Map<number, OnFrame>();
  #out: Fields[] = [];
  #lastId = 0;
  onPushed: OnFrame = () => undefined;

  constructor(port: number) {
    this.#webSocket = new WebSocket(`ws://127.0.0.1:${port}/rill`, SUBPROTOCOL);
    this.#webSocket.on("error", () => undefined);
    this.#webSocket.on("message", (data: Buffer) => {
      for (const frame of this.#codec.decode(data)) this.#onFrame(frame as Fields);
    });
  }

  async open(): Promise<this> {
    await once(this.#webSocket, "open");
    await this.call({ op: "hello", versions: [1] });
    return this;
  }

  tell(frame: Fields): void {
    if (this.#out.push(frame) === 1) setImmediate(() => this.#flush());
  }

  ask(request: Fields, onAnswer: OnFrame): void {
    const id = ++this.#lastId;
    this.#waiting.set(id, onAnswer);
    this.tell({ ...request, id });
  }

  call(request: Fields): Promise<Fields> {
    return new Promise((resolve, reject) => {
      this.ask(request, (answer) => {
        if (answer["op"] === "error") reject(new Error(JSON.stringify(answer)));
        else resolve(answer);
      });
    });
  }

  close(): void {
    this.#webSocket.terminate();
  }

  #flush(): void {
    const frames = this.#out;
    this.#out = [];
    this.#webSocket.send(this.#codec.encode(frames));
  }

  #onFrame(frame: Fields): void {
    const id = frame["id"] as number | undefined;
    if (id === undefined) {
      this.onPushed(frame);
      return;
    }
    const onAnswer = this.#waiting.get(id);
    this.#waiting.delete(id);
    onAnswer?.(frame);
  }
}

/** Keeps so many under way until the time is over; `begin` is told how many more. Returns how many were finished. */
async function keepUnderWay(
  seconds: number,
  begin: (count: number, finished: (count: number) => void) => void,
): Promise<number> {
  const end = performance.now() + seconds * 1_000;
  let finishedCount = 0;
  let underWay = OUTSTANDING;
  await new Promise<void>((resolve) => {
    const finished = (count: number): void => {
      underWay -= count;
      if (performance.now() < end) {
        finishedCount += count;
        underWay += count;
        begin(count, finished);
      } else if (underWay === 0) resolve();
    };
    begin(OUTSTANDING, finished);
  });
  return finishedCount;
}

class RunningRillmq implements RunningPeer {
  readonly #broker: BrokerProcess;
  readonly #http: number;
  readonly #one: Wire;
  readonly #other: Wire;

  constructor(broker: BrokerProcess, http: number, one: Wire, other: Wire) {
    this.#broker = broker;
    this.#http = http;
    this.#one = one;
    this.#other = other;
  }

  async queue(seconds: number): Promise<number> {
    let finished: (count: number) => void = () => undefined;
    this.#other.onPushed = (frame) => {
      const deliveries = (frame["deliveries"] as { delivery: number }[]).map(
        ({ delivery }) => delivery,
      );
      this.#other.tell({ op: "credit", sub: frame["sub"], add: deliveries.length });
      const settle = { op: "settle", queue: "bench", how: "ack", deliveries };
      this.#other.ask(settle, () => finished(deliveries.length));
    };
    await this.#other.call({ op: "queue.subscribe", queue: "bench", credit: OUTSTANDING });
    const request = { op: "send", queue: "bench", messages: [{ payload: PAYLOAD }] };
    return keepUnderWay(seconds, (count, onFinished) => {
      finished = onFinished;
      for (let i = 0; i < count; i++) this.#one.ask(request, () => undefined);
    });
  }

  async flushSeconds(): Promise<number | undefined> {
    const response = await fetch(`http://127.0.0.1:${this.#http}/metrics`);
    const found = /^rillmq_flush_seconds_sum(?:\{[^}]*\})? (\S+)$/m.exec(await response.text());
    return found === null ? undefined : Number(found[1]);
  }

  async append(seconds: number): Promise<number> {
    await this.#one.call({ op: "stream.create", stream: "bench", retain: "limits" });
    const request = { op: "append", stream: "bench", messages: [{ payload: PAYLOAD }] };
    return keepUnderWay(seconds, (count, finished) => {
      for (let i = 0; i < count; i++) this.#one.ask(request, () => finished(1));
    });
  }

  async read(): Promise<number> {
    let next = 1;
    for (;;) {
      const from = { sequence: next };
      const answer = await this.#one.call({ op: "read", stream: "bench", from, max: READ_MAX });
      if ((answer["records"] as unknown[]).length === 0) return next - 1;
      next = answer["next"] as number;
    }
  }

  async requests(seconds: number): Promise<number[]> {
    this.#other.onPushed = ({ request }) => {
      this.#other.tell({ op: "reply", request, payload: PAYLOAD });
    };
    await this.#other.call({ op: "respond", filter: "bench/echo", credit: 1_000_000 });
    const request = { op: "request", topic: "bench/echo", timeoutMs: 5_000, payload: PAYLOAD };
    const times: number[] = [];
    const end = performance.now() + seconds * 1_000;
    for (let begin = performance.now(); begin < end; begin = performance.now()) {
      await this.#one.call(request);
      times.push(performance.now() - begin);
    }
    return times;
  }

  async stop(): Promise<void> {
    this.#one.close();
    this.#other.close();
    await this.#broker.stop();
  }
}

/** RillMQ over the native protocol, its store in LMDB. */
export const rillmqPatterns: PatternPeer = {
  name: "rillmq",
  conditions: "on disk (LMDB); an answer means on disk",
  async start(folder) {
    const http = await findFreePort();
    const file = join(folder, "rillmq.yaml");
    const settings = {
      data: join(folder, "data"),
      http: `127.0.0.1:${http}`,
      listeners: [{ url: "rill://127.0.0.1:0" }],
      log: { level: "warn" },
    };
    writeFileSync(file, JSON.stringify(settings));
    const args = [RILLMQ_COMMAND, "serve", "--config", file];
    const broker = await BrokerProcess.startUntilReadyLine(process.execPath, args);
    const wires = [await new Wire(broker.port).open(), await new Wire(broker.port).open()] as const;
    return new RunningRillmq(broker, http, ...wires);
  },
};
