/**
 * The process of the peer `aedes`: the broker on a free port of loopback, nothing else. It is run as JavaScript, so
 * it has no types of its own and imports nothing of the bench.
 */
import { createServer } from "node:net";
import { Aedes } from "aedes";

// Without concurrency 0 a flood followed by an unsubscribe ends the process.
const broker = await Aedes.createBroker({ concurrency: 0 });
const server = createServer({ noDelay: true }, (socket) => {
  broker.handle(socket);
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  process.stdout.write(`ready pid=${process.pid} mqtt://127.0.0.1:${port}\n`);
});
