// Streams: stored in order, read again by whoever wants. Run: node --import tsx examples/streams.ts rill://127.0.0.1:7455
import { connect, textOf } from "rillmq/client";

const client = await connect(process.argv[2] ?? "rill://127.0.0.1:7455");
await client.streams.create("orders", { retain: "limits", maxBytes: 10_000_000 });

// Resolves when it is on disk. A lost connection meanwhile does not append it twice.
await client.streams.append("orders", "first");
await client.streams.append("orders", "second");

// A durable consumer: the broker remembers what is acknowledged, over restarts of both.
const orders = await client.streams.consume("orders", {
  consumer: "billing",
  from: { at: "first" },
});
let left = 2;
for await (const order of orders) {
  console.log(`${textOf(order)}, delivery ${order.deliveryCount}`);
  await order.ack();
  if (--left === 0) break;
}

// Reading needs no consumer and changes nothing.
const { records } = await client.streams.read("orders", { from: { at: "last" } });
console.log(`last: ${records.map(textOf).join()}`);
await client.close();
