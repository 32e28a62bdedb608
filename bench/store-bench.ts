/**
 * Appends per second through the store, beside a bare LMDB (one value per commit) and a preallocated file with
 * fdatasync, all with group commit and a fixed number of messages outstanding, interleaved in one run.
 *
 *     node --import tsx bench/store-bench.ts [--seconds 2] [--rounds 3] [--folder DIR]
 */
import {
  closeSync,
  fdatasync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  write as writeFile,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { open as openLmdb } from "lmdb";
import type { Message } from "../src/broker/message.ts";
import type { LogId } from "../src/broker/store.ts";
import { Topic } from "../src/broker/topic.ts";
import type { Instant } from "../src/lib/clock.ts";
import { openLmdbStore } from "../src/store/lmdb-store.ts";

const PAYLOAD_BYTES = 256;
const FILE_BYTES = 256 * 1_048_576;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "2" },
    rounds: { type: "string", default: "3" },
    folder: { type: "string", default: tmpdir() },
  },
});

interface Subject {
  readonly name: string;
  /** Writes `count` messages as soon as it can and calls `onFlushed` with how many are on disk now. */
  start(folder: string, onFlushed: (count: number) => void): Running;
}

interface Running {
  append(count: number): void;
  close(): Promise<void>;
}

interface Figures {
  readonly perSecond: number;
  readonly cpuMicros: number;
  readonly bytesWritten: number;
}

const payload = new Uint8Array(PAYLOAD_BYTES).map((_, i) => i);
const message: Message = {
  topic: new Topic("sim/device-17/sensor"),
  qos: 1,
  retain: false,
  bytes: payload,
  payloadStart: 0,
  payloadEnd: payload.length,
  properties: undefined,
  publisherId: "device-17",
  receivedAt: Date.now() as Instant,
  expiresAt: undefined,
};

/** The store, with messages spread over so many logs. */
function storeWith(logCount: number): Subject {
  return {
    name: `store, ${logCount} log${logCount === 1 ? "" : "s"}`,
    start(folder, onFlushed) {
      const store = openLmdbStore({ path: join(folder, "store.mdb") });
      const logs: LogId[] = [];
      for (let i = 0; i < logCount; i++) logs.push(store.openLog(`log-${i}`));
      let next = 0;
      let staged = 0;
      let sealed = 0;
      store.listen({
        onSealing: () => {
          sealed = staged;
          staged = 0;
        },
        onFlushed: () => onFlushed(sealed),
        onFailed: (_commit, error) => {
          throw error;
        },
      });
      return {
        append(count) {
          staged += count;
          for (let i = 0; i < count; i++, next++) {
            store.append(logs[next % logCount] ?? (0 as LogId), message);
          }
        },
        close: () => store.close(),
      };
    },
  };
}

/** Group commit of plain bytes: what arrives during a write is the next one. */
class Grouping {
  #waiting = 0;
  #isBusy = false;
  readonly #write: (count: number, onDone: () => void) => void;
  readonly #onFlushed: (count: number) => void;

  constructor(
    write: (count: number, onDone: () => void) => void,
    onFlushed: (count: number) => void,
  ) {
    this.#write = write;
    this.#onFlushed = onFlushed;
  }

  append(count: number): void {
    this.#waiting += count;
    if (!this.#isBusy) this.#flush();
  }

  #flush(): void {
    if (this.#waiting === 0) return;
    this.#isBusy = true;
    const count = this.#waiting;
    this.#waiting = 0;
    this.#write(count, () => {
      this.#isBusy = false;
      this.#onFlushed(count);
    });
  }
}

function copies(count: number): Buffer {
  const bytes = Buffer.allocUnsafe(count * PAYLOAD_BYTES);
  for (let i = 0; i < count; i++) bytes.set(payload, i * PAYLOAD_BYTES);
  return bytes;
}

const bareLmdb: Subject = {
  name: "bare LMDB, one value per commit",
  start(folder, onFlushed) {
    const env = openLmdb<Uint8Array, number>({
      path: join(folder, "bare.mdb"),
      overlappingSync: false,
      eventTurnBatching: false,
      encoding: "binary",
      keyEncoding: "uint32",
    });
    let key = 0;
    const grouping = new Grouping((count, onDone) => {
      const value = copies(count);
      void env.batch(() => void env.put(key++, value)).then(onDone);
    }, onFlushed);
    return { append: (count) => grouping.append(count), close: () => env.close() };
  },
};

const plainFile: Subject = {
  name: "preallocated file, fdatasync",
  start(folder, onFlushed) {
    const fd = openSync(join(folder, "file"), "w");
    const zeros = Buffer.alloc(1_048_576);
    for (let at = 0; at < FILE_BYTES; at += zeros.length) writeSync(fd, zeros, 0, zeros.length, at);
    ftruncateSync(fd, FILE_BYTES);
    let at = 0;
    const grouping = new Grouping((count, onDone) => {
      const bytes = copies(count);
      if (at + bytes.length > FILE_BYTES) at = 0;
      writeFile(fd, bytes, 0, bytes.length, at, () => fdatasync(fd, () => onDone()));
      at += bytes.length;
    }, onFlushed);
    return { append: (count) => grouping.append(count), close: async () => closeSync(fd) };
  },
};

/** Bytes given to write calls: what the kernel counts as written to disk depends on the size of its folios. */
function bytesWritten(): number {
  return Number(/^wchar: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8"))?.[1] ?? 0);
}

async function measure(subject: Subject, outstanding: number, seconds: number): Promise<Figures> {
  const folder = mkdtempSync(join(values.folder, "rillmq-bench-"));
  let flushed = 0;
  let isOver = false;
  let inFlight = 0;
  const running = subject.start(folder, (count) => {
    flushed += count;
    inFlight -= count;
    if (isOver) return;
    inFlight += count;
    running.append(count);
  });
  inFlight = outstanding;
  running.append(outstanding);
  await sleep(300);
  const before = { flushed, cpu: process.cpuUsage(), bytes: bytesWritten(), at: performance.now() };
  await sleep(seconds * 1_000);
  const count = flushed - before.flushed;
  const { user, system } = process.cpuUsage(before.cpu);
  const elapsed = (performance.now() - before.at) / 1_000;
  const written = bytesWritten() - before.bytes;
  isOver = true;
  while (inFlight > 0) await sleep(10);
  await running.close();
  rmSync(folder, { recursive: true, force: true });
  return {
    perSecond: count / elapsed,
    cpuMicros: (user + system) / count,
    bytesWritten: written / count,
  };
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function median(figures: readonly Figures[], of: (figures: Figures) => number): number {
  return figures.map(of).sort((a, b) => a - b)[Math.floor(figures.length / 2)] ?? 0;
}

async function run(): Promise<void> {
  const subjects = [plainFile, bareLmdb, storeWith(1), storeWith(8), storeWith(64)];
  const print = (cells: readonly string[]): boolean =>
    process.stdout.write(`| ${cells.join(" | ")} |\n`);
  print([`256 B, group commit`, "outstanding", "messages/s", "CPU µs/message", "bytes/message"]);
  print(["---", "---", "---", "---", "---"]);
  for (const outstanding of [100, 1_000]) {
    const results = new Map<Subject, Figures[]>(subjects.map((subject) => [subject, []]));
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const [subject, figures] of results) {
        figures.push(await measure(subject, outstanding, Number(values.seconds)));
      }
    }
    for (const [subject, figures] of results) {
      print([
        subject.name,
        `${outstanding}`,
        median(figures, (f) => f.perSecond).toFixed(0),
        median(figures, (f) => f.cpuMicros).toFixed(2),
        median(figures, (f) => f.bytesWritten).toFixed(0),
      ]);
    }
  }
}

await run();
