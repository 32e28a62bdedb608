/** The process of the load generator of `npm run bench -- patterns`: does what it is ordered over its channel, one load after another. */
import type { Load, LoadOrder, LoadReport, Target } from "./load-order.ts";
import { NatsLoad } from "./nats-load.ts";
import { RillLoad } from "./rill-load.ts";

const sleep = (seconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, seconds * 1_000));

const tell = (report: LoadReport): void => {
  process.send?.(report);
};

async function run(load: Load, order: LoadOrder): Promise<void> {
  let count = 0;
  await load.start(order.pattern, order.outstanding, (finished) => {
    count += finished;
  });
  await sleep(order.warmUpSeconds);
  tell({ kind: "begun" });
  load.takeTimes();
  const before = count;
  const cpuBefore = process.cpuUsage();
  const begin = performance.now();
  await sleep(order.seconds);
  const { user, system } = process.cpuUsage(cpuBefore);
  const seconds = (performance.now() - begin) / 1_000;
  const counted = count - before;
  const timesMs = load.takeTimes();
  tell({ kind: "done", count: counted, seconds, cpuUs: user + system, timesMs });
  await load.stop();
}

const failed = (error: unknown): never => {
  tell({ kind: "failed", reason: (error as Error).message });
  process.exit(1);
};
process.on("uncaughtException", failed);
process.on("unhandledRejection", failed);
process.on("disconnect", () => process.exit(0));

let opened: Promise<Load> | undefined;
let work: Promise<unknown> = Promise.resolve();
process.on("message", (message: Target | LoadOrder) => {
  if ("protocol" in message) {
    const { protocol, port } = message;
    opened = protocol === "rill" ? RillLoad.open(port) : NatsLoad.open(port);
    opened.then(() => tell({ kind: "ready" }), failed);
    return;
  }
  work = work.then(async () => {
    if (opened !== undefined) await run(await opened, message);
  });
});
