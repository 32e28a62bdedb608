/**
 * The process of the peer `aedes`: the broker on a free port of loopback, nothing else. It is run as JavaScript, so
 * it has no types of its own and imports nothing of the bench. Its arguments: `tcp`, `websocket`, or `tls` with a
 * certificate and its key.
 */
import { readFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { Aedes } from "aedes";
import { createWebSocketStream, WebSocketServer } from "ws";

const [transport, cert, key] = process.argv.slice(1);
// Without concurrency 0 a flood followed by an unsubscribe ends the process.
const broker = await Aedes.createBroker({ concurrency: 0 });

function serveWebSocket() {
  const http = createHttpServer();
  const server = new WebSocketServer({ server: http, handleProtocols: () => "mqtt" });
  server.on("connection", (socket, request) => {
    request.socket.setNoDelay(true);
    broker.handle(createWebSocketStream(socket), request);
  });
  return http;
}

function serve() {
  if (transport === "websocket") return serveWebSocket();
  if (transport === "tls" && cert !== undefined && key !== undefined) {
    const pair = { cert: readFileSync(cert), key: readFileSync(key), noDelay: true };
    return createTlsServer(pair, (socket) => {
      broker.handle(socket);
    });
  }
  return createServer({ noDelay: true }, (socket) => {
    broker.handle(socket);
  });
}

const server = serve();
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  process.stdout.write(`ready pid=${process.pid} mqtt://127.0.0.1:${port}\n`);
});
