// Events: at most once, to who listens. Run: node --import tsx examples/events.ts rill://127.0.0.1:7455
import { connect, textOf } from "rillmq/client";

const client = await connect(process.argv[2] ?? "rill://127.0.0.1:7455");

// Filters are those of MQTT; devices and programs share their topics.
const events = await client.events.subscribe("plant/+/temperature");
await client.events.publish("plant/7/temperature", "21.5");

for await (const event of events) {
  console.log(`${event.topic}: ${textOf(event)}`);
  break; // ends the subscription
}
await client.close();
