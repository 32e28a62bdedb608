import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { AdminServer } from "../../../src/net/admin-server.ts";

interface Served {
  readonly path: string;
  readonly bugs: unknown[];
}

async function serve(t: TestContext): Promise<Served> {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-admin-"));
  const path = join(folder, "a.sock");
  const bugs: unknown[] = [];
  const routes = new Map([["POST /echo", ({ body }: { body: unknown }) => body]]);
  const server = await AdminServer.open(path, routes, (error) => bugs.push(error));
  t.after(async () => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { path, bugs };
}

/** What is answered to these bytes when nothing comes behind them. */
async function answerTo({ path }: Served, text: string): Promise<string> {
  const socket = connect({ path });
  let answer = "";
  socket.setEncoding("utf8").on("data", (part: string) => {
    answer += part;
  });
  socket.on("error", () => undefined);
  socket.end(text);
  await once(socket, "close");
  return answer;
}

for (const target of ["//", "http://", "http://["]) {
  test(`The target ${target} is refused and is no bug of the broker.`, async (t) => {
    const served = await serve(t);
    const request = `GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
    assert.match(await answerTo(served, request), /^HTTP\/1\.1 400 /);
    assert.deepEqual(served.bugs, []);
  });
}

test("Who goes away within a body is no bug of the broker.", async (t) => {
  const served = await serve(t);
  await answerTo(served, 'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{"a":');
  const whole =
    "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
  assert.match(await answerTo(served, whole), /^HTTP\/1\.1 200 [\s\S]*\{\}/);
  assert.deepEqual(served.bugs, []);
});
