import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { startHttpServer } from "../../src/net/http-server.ts";
import { runCli } from "./cli-process.ts";

const folder = mkdtempSync(join(tmpdir(), "rillmq-status-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const URLS = ["mqtt://127.0.0.1:1883"];

function leaveRunFile(run: unknown): void {
  writeFileSync(join(folder, "rillmq.json"), JSON.stringify(run));
}

const serveHealth = (state: { isReady: boolean; isHealthy: boolean }) =>
  startHttpServer({
    host: "127.0.0.1",
    port: 0,
    fallBackToFreePort: false,
    isReady: () => state.isReady,
    isHealthy: () => state.isHealthy,
    metrics: { contentType: "text/plain", text: () => Promise.resolve("") },
  });

test("status without a broker says so and ends with 1", async () => {
  const { exitCode, stdout } = await runCli(["status", "--data", join(folder, "none")]);
  assert.equal(exitCode, 1);
  assert.match(stdout, /^no broker runs here: .*rillmq\.json is missing/);
});

test("status asks the broker that the data folder names", async () => {
  const state = { isReady: true, isHealthy: true };
  const server = await serveHealth(state);
  leaveRunFile({ pid: process.pid, urls: URLS, http: server.url });
  const ask = (...args: string[]) => runCli(["status", ...args], { RILLMQ_DATA: folder });
  try {
    const ready = await ask("--ready");
    assert.equal(ready.exitCode, 0);
    assert.equal(ready.stdout, `ready: pid ${process.pid} ${URLS[0]} ${server.url}\n`);

    state.isReady = false;
    const recovering = await Promise.all([ask(), ask("--ready")]);
    assert.deepEqual(
      recovering.map(({ exitCode }) => exitCode),
      [0, 1],
    );
    assert.match(recovering[0].stdout, /^healthy, not ready: /);

    state.isHealthy = false;
    const failed = await ask("--json");
    assert.equal(failed.exitCode, 1);
    assert.deepEqual(JSON.parse(failed.stdout), {
      running: true,
      healthy: false,
      ready: false,
      pid: process.pid,
      urls: URLS,
      http: server.url,
    });
  } finally {
    await server.close();
  }
  const gone = await ask();
  assert.equal(gone.exitCode, 1);
  assert.match(gone.stdout, /^not running: .* does not answer/);
});

test("with HTTP off, status goes by the process", async () => {
  leaveRunFile({ pid: process.pid, urls: URLS });
  const alive = await runCli(["status", "--data", folder]);
  assert.equal(alive.exitCode, 0);
  assert.match(alive.stdout, /^running, HTTP is off: /);
  // Beyond the largest pid there is.
  leaveRunFile({ pid: 2 ** 30, urls: URLS });
  const gone = await runCli(["status", "--data", folder]);
  assert.equal(gone.exitCode, 1);
  assert.match(gone.stdout, /^not running: /);
});

test("a damaged file is as good as none", async () => {
  leaveRunFile("nonsense");
  assert.equal((await runCli(["status", "--data", folder])).exitCode, 1);
});
