// Requests: one question, one answer, before a deadline. Run: node --import tsx examples/requests.ts rill://127.0.0.1:7455
import { connect, RillError, textOf } from "rillmq/client";

const client = await connect(process.argv[2] ?? "rill://127.0.0.1:7455");

const responder = await client.requests.respond("math/double", (request) => {
  const number = Number(textOf(request));
  if (Number.isNaN(number)) throw new Error("not a number"); // reaches who asked
  return String(2 * number);
});

console.log(textOf(await client.requests.request("math/double", "21", { timeoutMs: 5_000 })));
for (const [topic, question] of [
  ["math/double", "x"],
  ["math/halve", "42"],
] as const) {
  try {
    await client.requests.request(topic, question);
  } catch (error) {
    if (error instanceof RillError) console.log(`${error.code}: ${error.message}`);
  }
}
await responder.close();
await client.close();
