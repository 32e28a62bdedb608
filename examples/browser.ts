// A page: bundled for browsers, it works off a queue and writes what happened into its document.
import { connect, textOf } from "rillmq/client";

/** What this page needs of a browser. */
declare const document: { readonly title: string; readonly body: { textContent: string | null } };
declare const location: { readonly hash: string };

const client = await connect(decodeURIComponent(location.hash.slice(1)));
const words: string[] = [];
const jobs = await client.queues.subscribe("page-jobs");
await client.queues.sendAll("page-jobs", ["from", "the", "browser"]);
for await (const job of jobs) {
  words.push(textOf(job));
  await job.ack();
  if (words.length === 3) break;
}
const events = await client.events.subscribe("page/#");
await client.events.publish("page/1", new Uint8Array([0, 255]));
words.push(String((await events.next()).value?.payload));
await client.close();
document.body.textContent = words.join(" ");
