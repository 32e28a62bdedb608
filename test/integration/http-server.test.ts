import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { test } from "node:test";
import { type HttpServerOptions, startHttpServer } from "../../src/net/http-server.ts";

const OPTIONS: HttpServerOptions = {
  host: "127.0.0.1",
  port: 0,
  fallBackToFreePort: false,
  isReady: () => true,
  isHealthy: () => true,
  metrics: { contentType: "text/plain; version=0.0.4", text: () => Promise.resolve("up 1\n") },
};

async function ask(url: string, path: string, method = "GET"): Promise<[number, string]> {
  const response = await fetch(url + path, { method });
  return [response.status, await response.text()];
}

test("health and readiness follow the broker, metrics are passed on", async () => {
  const state = { isReady: false, isHealthy: true };
  const server = await startHttpServer({
    ...OPTIONS,
    isReady: () => state.isReady,
    isHealthy: () => state.isHealthy,
  });
  try {
    assert.deepEqual(await ask(server.url, "/healthz"), [200, "healthy\n"]);
    assert.deepEqual(await ask(server.url, "/readyz"), [503, "not ready\n"]);
    Object.assign(state, { isReady: true, isHealthy: false });
    assert.deepEqual(await ask(server.url, "/readyz?verbose"), [200, "ready\n"]);
    assert.deepEqual(await ask(server.url, "/healthz"), [503, "the store has failed\n"]);
    const metrics = await fetch(`${server.url}/metrics`);
    assert.equal(metrics.headers.get("content-type"), OPTIONS.metrics.contentType);
    assert.equal(await metrics.text(), "up 1\n");
  } finally {
    await server.close();
  }
});

test("other paths are not found, other methods not allowed, HEAD has no text", async () => {
  const server = await startHttpServer(OPTIONS);
  try {
    assert.equal((await ask(server.url, "/"))[0], 404);
    assert.equal((await ask(server.url, "/healthz/x"))[0], 404);
    const refused = await fetch(`${server.url}/metrics`, { method: "POST", body: "x" });
    assert.deepEqual([refused.status, refused.headers.get("allow")], [405, "GET, HEAD"]);
    assert.deepEqual(await ask(server.url, "/readyz", "HEAD"), [200, ""]);
  } finally {
    await server.close();
  }
});

test("metrics that cannot be collected are an error of that request alone", async () => {
  const text = (): Promise<string> => Promise.reject(new Error("no"));
  const server = await startHttpServer({ ...OPTIONS, metrics: { contentType: "x/y", text } });
  try {
    assert.equal((await ask(server.url, "/metrics"))[0], 500);
    assert.equal((await ask(server.url, "/healthz"))[0], 200);
  } finally {
    await server.close();
  }
});

test("a taken port gives way to a free one only when it may", async () => {
  const taken = createServer();
  taken.listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  try {
    await assert.rejects(startHttpServer({ ...OPTIONS, port }), { code: "cannot-listen" });
    const server = await startHttpServer({ ...OPTIONS, port, fallBackToFreePort: true });
    assert.notEqual(new URL(server.url).port, String(port));
    assert.equal((await ask(server.url, "/healthz"))[0], 200);
    await server.close();
  } finally {
    taken.close();
  }
});

test("a header beyond the limit is refused", async () => {
  const server = await startHttpServer(OPTIONS);
  try {
    const headers = { "x-long": "x".repeat(10_000) };
    assert.equal((await fetch(`${server.url}/healthz`, { headers })).status, 431);
  } finally {
    await server.close();
  }
});

test("closing does not wait for a connection that stays open", async () => {
  const server = await startHttpServer(OPTIONS);
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  await once(socket, "connect");
  const closed = new Promise((resolve) => {
    // Reset or end: both are fine.
    socket.on("error", () => undefined).on("close", resolve);
  });
  socket.write("GET /healthz HTTP/1.1\r\nhost: x\r\n");
  await server.close();
  await closed;
});
