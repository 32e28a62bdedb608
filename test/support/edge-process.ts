/**
 * An edge of its own process for tests that kill it: an LMDB store and an uplink to JetStream, with a publisher that appends
 * numbered records. Reports on standard output, one JSON object per line; `SIGUSR2` ends publishing.
 *
 *     node --import tsx test/support/edge-process.ts DATA_FOLDER NATS_URL RECORDS_PER_SECOND
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { plainMessage } from "../../src/broker/message.ts";
import { Topic } from "../../src/broker/topic.ts";
import type { Instant } from "../../src/lib/clock.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { openLmdbStore } from "../../src/store/lmdb-store.ts";
import { NatsDriver } from "../../src/uplink/drivers/nats.ts";
import { Uplink } from "../../src/uplink/uplink.ts";
import { plainClock } from "./plain-clock.ts";

const [folder = "", url = "", rate = "500"] = process.argv.slice(2);
const TICK_MS = 10;
const REPORT_MS = 100;

const store = openLmdbStore({ path: join(folder, "store.mdb") });
const topics = Array.from({ length: 10 }, (_, i) => new Topic(`sim/d${i}/sensor`));

function report(fields: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(fields)}\n`);
}

let uplink: Uplink | undefined;
store.listen({
  onSealing: () => undefined,
  onFlushed: () => uplink?.onFlushed(),
  onFailed: (_commit, error) => {
    throw error;
  },
});
const log = store.openLog("telemetry");
await store.drain();

uplink = new Uplink({
  name: "centre",
  edgeId: "edge-1",
  lanes: [{ stream: "telemetry", log, class: "normal" }],
  store,
  driver: new NatsDriver({ urls: url.split(","), requestTimeoutMs: 1_500 }),
  clock: plainClock(() => Date.now()),
  random: new SeededRandom(randomBytes(4).readUInt32LE()),
  log: (level, event, fields) => report({ level, event, ...fields }),
  backoffMinMs: 100,
  backoffMaxMs: 1_000,
  progressDeadlineMinMs: 2_000,
  connectTimeoutMs: 3_000,
});
uplink.start();

const publishing = setInterval(() => {
  const count = Math.round((Number(rate) * TICK_MS) / 1_000);
  const { nextSequence } = store.stats(log);
  for (let i = 0; i < count; i++) {
    const topic = topics[i % topics.length] ?? new Topic("sim/none");
    const bytes = Buffer.from(`${nextSequence}+${i}`.padEnd(120, "."));
    const message = plainMessage(topic, bytes, Date.now() as Instant);
    store.append(log, { ...message, publisherId: "publisher" });
  }
}, TICK_MS);

setInterval(() => {
  const lane = uplink?.status().lanes[0];
  const { nextSequence } = store.stats(log);
  report({
    event: "status",
    pid: process.pid,
    state: uplink?.status().state,
    last: nextSequence - 1,
    ...lane,
  });
}, REPORT_MS);

process.on("SIGUSR2", () => clearInterval(publishing));
