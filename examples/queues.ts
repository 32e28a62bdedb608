// Queues: each message to one worker, until it is acknowledged. Run: node --import tsx examples/queues.ts rill://127.0.0.1:7455
import { connect, textOf } from "rillmq/client";

const client = await connect(process.argv[2] ?? "rill://127.0.0.1:7455");
// What fails three times goes aside.
await client.queues.create("jobs", { deliveriesMax: 3, deadLetterQueue: "failed-jobs" });
await client.queues.sendAll("jobs", ["paint", "explode", "polish"]);

// No more than 10 wait here; while they are worked on, nobody else gets them.
const jobs = await client.queues.subscribe("jobs", { window: 10, visibilityMs: 60_000 });
let done = 0;
for await (const job of jobs) {
  const text = textOf(job);
  if (text === "explode") {
    await job.reject(); // back to its place, its delivery count grows
    continue;
  }
  console.log(`${text} done`);
  await job.ack();
  if (++done === 2) break;
}

const [failed] = await client.queues.receive("failed-jobs", { waitMs: 10_000 });
if (failed !== undefined) {
  console.log(`${textOf(failed)} failed in ${failed.reroutedFrom}`);
  await failed.ack();
}
await client.close();
