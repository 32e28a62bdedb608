import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { acceptShared, onChunk } from "../../../src/net/shared-read.ts";

test("A listening server's connections are made once, read into the shared buffer, and are not emitted.", async () => {
  const server = createServer(() => assert.fail("the server made a socket, too"));
  assert.equal(
    acceptShared(server, 60, () => undefined),
    false,
    "nothing listens yet",
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const taken: Socket[] = [];
  const buffers = new Set<ArrayBufferLike>();
  const isTaken = acceptShared(server, 60, (socket) => {
    taken.push(socket);
    onChunk(socket, function echo(chunk) {
      buffers.add(chunk.buffer);
      this.write(Buffer.from(chunk));
    });
  });
  assert.equal(isTaken, true);
  const { port } = server.address() as AddressInfo;
  const clients = [connect(port, "127.0.0.1"), connect(port, "127.0.0.1")];
  for (const [i, client] of clients.entries()) {
    client.write(`from ${i}`);
    const [answer] = (await once(client, "data")) as [Buffer];
    assert.equal(String(answer), `from ${i}`);
  }
  assert.equal(taken.length, 2);
  assert.equal(buffers.size, 1, "one buffer for all of them");
  const ended = taken.map((socket) => once(socket, "close"));
  for (const client of clients) client.end();
  for (const socket of taken) socket.on("end", () => socket.end());
  await Promise.all(ended);
  server.close();
  await once(server, "close");
});
