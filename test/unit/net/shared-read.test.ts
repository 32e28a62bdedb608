import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { onChunk, readShared } from "../../../src/net/shared-read.ts";

async function pair(server: Server): Promise<{ accepted: Socket; client: Socket }> {
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  const accepting = once(server, "connection");
  const client = connect(address.port, "127.0.0.1");
  const [accepted] = (await accepting) as [Socket];
  return { accepted, client };
}

async function withServer(run: (server: Server) => Promise<void>): Promise<void> {
  const server = createServer(readShared);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await run(server);
  } finally {
    server.close();
  }
}

/** What comes next on the socket: a copy of the bytes, and the memory that they were in. */
function nextChunk(socket: Socket): Promise<{ text: string; memory: ArrayBufferLike }> {
  return new Promise((resolve) => {
    onChunk(socket, function receive(this: Socket, chunk) {
      assert.equal(this, socket);
      resolve({ text: chunk.toString(), memory: chunk.buffer });
    });
  });
}

test("accepted sockets read into one buffer, each tells its own, and they stay the server's", async () => {
  await withServer(async (server) => {
    const a = await pair(server);
    const b = await pair(server);
    const heard = [nextChunk(a.accepted), nextChunk(b.accepted)];
    a.client.write("from a");
    b.client.write("from b");
    const [fromA, fromB] = await Promise.all(heard);
    assert.equal(fromA?.text, "from a");
    assert.equal(fromB?.text, "from b");
    assert.equal(fromA?.memory, fromB?.memory);
    assert.equal(fromA?.memory.byteLength, 65_536);
    const count = await new Promise((resolve) => server.getConnections((_, n) => resolve(n)));
    assert.equal(count, 2);
    // The peer's end is seen, though nobody reads a stream.
    const closed = [once(a.accepted, "close"), once(b.accepted, "close")];
    a.client.end();
    b.client.destroy();
    await Promise.all(closed);
  });
});

test("a paused socket is not read, and goes on where it was", async () => {
  await withServer(async (server) => {
    const { accepted, client } = await pair(server);
    accepted.pause();
    let heard = "";
    const done = new Promise<void>((resolve) => {
      onChunk(accepted, (chunk) => {
        heard += chunk.toString();
        if (heard === "onetwo") resolve();
      });
    });
    await new Promise<void>((resolve) => client.write("one", () => resolve()));
    // Another connection goes there and back meanwhile.
    const other = await pair(server);
    const echo = nextChunk(other.accepted);
    other.client.write("x");
    await echo;
    assert.equal(heard, "");
    accepted.resume();
    client.write("two");
    await done;
    client.destroy();
    other.client.destroy();
  });
});

test("what does not read into the shared buffer tells by its own chunks", () => {
  const stream = new Duplex({ read: () => undefined, write: () => undefined }) as Socket;
  readShared(stream);
  const heard: string[] = [];
  onChunk(stream, (chunk) => heard.push(chunk.toString()));
  stream.emit("data", Buffer.from("as usual"));
  assert.deepEqual(heard, ["as usual"]);
});
