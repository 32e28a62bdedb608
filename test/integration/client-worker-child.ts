/**
 * A program of its own that works off a queue through the client library, for tests that kill its broker. Reports JSON lines:
 * `ready`, `acked` with what is settled on disk, `unsure` with what may be.
 */
import { connect, RillError, textOf } from "../../src/client/node.ts";

const [url = "", queue = ""] = process.argv.slice(2);
const tell = (event: string, fields: object = {}): void => {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
};
const client = await connect(url, { backoffMinMs: 50, backoffMaxMs: 300, timeoutMs: 60_000 });
// What a killed broker remembers as handed out comes back after its visibility.
const work = await client.queues.subscribe(queue, { window: 8, visibilityMs: 2_000 });
tell("ready");
for await (const message of work) {
  const text = textOf(message);
  try {
    await message.ack();
    tell("acked", { text });
  } catch (error) {
    if (!(error instanceof RillError)) throw error;
    tell("unsure", { text, code: error.code });
  }
}
