import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { Cleanup } from "./broker-process.ts";

/** How the header goes out: with the client's first bytes in one write, or before them byte by byte. */
export type HeaderPace = "glued" | "byte-by-byte";

/**
 * A proxy in front of a port of 127.0.0.1 that begins each connection with `header()`.
 * @returns its own port
 */
export async function startProxy(
  cleanup: Cleanup,
  port: number,
  pace: HeaderPace,
  header: () => Buffer,
): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect({ host: "127.0.0.1", port, noDelay: true });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
    }
    client.on("close", () => upstream.destroy());
    upstream.on("close", () => client.destroy());
    upstream.pipe(client);
    client.once("data", (first: Buffer) => {
      client.pause();
      void forward(upstream, pace, header(), first).then(() => client.pipe(upstream));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanup.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  return (server.address() as AddressInfo).port;
}

async function forward(
  upstream: Socket,
  pace: HeaderPace,
  header: Buffer,
  first: Buffer,
): Promise<void> {
  if (pace === "glued") {
    upstream.write(Buffer.concat([header, first]));
    return;
  }
  for (const byte of header) {
    await new Promise((resolve) => upstream.write(Buffer.from([byte]), resolve));
  }
  upstream.write(first);
}
