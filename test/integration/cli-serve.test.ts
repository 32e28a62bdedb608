import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type CliProcess, runCli, startCli } from "./cli-process.ts";

const folder = mkdtempSync(join(tmpdir(), "rillmq-serve-"));
after(() => rmSync(folder, { recursive: true, force: true }));

interface Broker extends CliProcess {
  readonly readyLine: string;
  readonly pid: number;
  readonly mqtt: string;
  readonly http: string;
}

const FREE = ["--listen", "mqtt://127.0.0.1:0", "--http", "127.0.0.1:0"];

/** Starts `rillmq serve` and waits for its ready line. */
async function startBroker(args: readonly string[]): Promise<Broker> {
  const broker = startCli(["serve", ...args]);
  const readyLine = await new Promise<string>((resolve, reject) => {
    let text = "";
    broker.child.stdout?.on("data", (chunk: string) => {
      text += chunk;
      const [line, rest] = text.split("\n", 2);
      if (rest !== undefined) resolve(line ?? "");
    });
    void broker.ended.then(({ stderr }) =>
      reject(new Error(`ended before it was ready: ${stderr}`)),
    );
  });
  const [, pid = "", mqtt = "", http = ""] = /^ready pid=(\d+) (\S+) (\S+)$/.exec(readyLine) ?? [];
  return { ...broker, readyLine, pid: Number(pid), mqtt, http };
}

async function stop(broker: Broker): Promise<void> {
  process.kill(broker.pid, "SIGTERM");
  const { exitCode, stderr } = await broker.ended;
  assert.equal(exitCode, 0, stderr);
}

test("serve drains and exits 0 when it is told to stop more than once", async () => {
  const broker = await startBroker([...FREE, "--data", join(folder, "told-twice")]);
  // As supervisors do that signal a process and then its whole group.
  process.kill(broker.pid, "SIGTERM");
  process.kill(broker.pid, "SIGINT");
  await stop(broker);
});

test("serve says that it is ready, serves, and drains on SIGTERM", async () => {
  const data = join(folder, "new", "data");
  const broker = await startBroker([...FREE, "--data", data]);
  try {
    assert.match(
      broker.readyLine,
      /^ready pid=\d+ mqtt:\/\/127\.0\.0\.1:\d+ http:\/\/127\.0\.0\.1:\d+$/,
    );
    assert.deepEqual(JSON.parse(readFileSync(join(data, "rillmq.json"), "utf8")), {
      pid: broker.pid,
      urls: [broker.mqtt],
      http: broker.http,
    });
    assert.equal((await runCli(["status", "--data", data, "--ready"])).exitCode, 0);
    for (const protocol of ["4", "5"]) {
      const at = ["--url", broker.mqtt, "--protocol", protocol, "--topic", "greeting"];
      const pub = await runCli(["pub", ...at, "--message", `hello ${protocol}`, "--retain"]);
      assert.equal(pub.exitCode, 0, pub.stderr);
      const sub = await runCli(["sub", ...at, "--count", "1", "--timeout", "10"]);
      assert.deepEqual([sub.exitCode, sub.stdout], [0, `hello ${protocol}\n`]);
    }
    const metrics = await (await fetch(`${broker.http}/metrics`)).text();
    assert.match(metrics, /^rillmq_messages_received_total\{qos="1"\} 2$/m);
    assert.match(metrics, /^rillmq_flush_seconds_count [1-9]/m);
  } finally {
    await stop(broker);
  }
  assert.equal((await runCli(["status", "--data", data])).exitCode, 1);
});

test("a restarted broker has what was retained", async () => {
  const data = join(folder, "restart");
  const first = await startBroker([...FREE, "--data", data]);
  const kept = ["--topic", "kept", "--message", "still here", "--retain"];
  assert.equal((await runCli(["pub", "--url", first.mqtt, ...kept])).exitCode, 0);
  process.kill(first.pid, "SIGKILL");
  await first.ended;
  const second = await startBroker([...FREE, "--data", data]);
  try {
    const args = ["--topic", "kept", "--count", "1", "--timeout", "10"];
    const sub = await runCli(["sub", "--url", second.mqtt, ...args]);
    assert.deepEqual([sub.exitCode, sub.stdout], [0, "still here\n"]);
  } finally {
    await stop(second);
  }
});

test("a port in use ends with 3 and one line that names it", async () => {
  const taken = createServer();
  taken.listen(0, "127.0.0.1");
  await once(taken, "listening");
  const address = taken.address();
  assert.ok(typeof address === "object" && address !== null);
  const port = String(address.port);
  const data = ["--data", join(folder, "port")];
  try {
    for (const args of [
      ["--listen", `mqtt://127.0.0.1:${port}`, "--http", "off"],
      ["--listen", "mqtt://127.0.0.1:0", "--http", `127.0.0.1:${port}`],
    ]) {
      const { exitCode, stdout, stderr } = await runCli(["serve", ...args, ...data]);
      assert.equal(exitCode, 3, stderr);
      assert.equal(stdout, "");
      const errors = stderr.split("\n").filter((line) => line.includes('"level":"error"'));
      assert.equal(errors.length, 1, stderr);
      assert.doesNotMatch(errors[0] ?? "", /"stack"/);
      assert.ok(errors[0]?.includes(port), errors[0]);
    }
  } finally {
    taken.close();
  }
});

test("a data folder that is none ends with 4", async () => {
  const file = join(folder, "a-file");
  writeFileSync(file, "");
  const { exitCode, stdout, stderr } = await runCli(["serve", ...FREE, "--data", file]);
  assert.deepEqual([exitCode, stdout], [4, ""], stderr);
  assert.ok(stderr.includes(file), stderr);
});

test("a data folder in use ends with 5, and SIGKILL leaves no lock behind", async () => {
  const data = join(folder, "lock");
  const first = await startBroker([...FREE, "--data", data]);
  const second = await runCli(["serve", ...FREE, "--data", data]);
  assert.deepEqual([second.exitCode, second.stdout], [5, ""], second.stderr);
  assert.equal((await runCli(["status", "--data", data, "--ready"])).exitCode, 0);
  process.kill(first.pid, "SIGKILL");
  await first.ended;
  await stop(await startBroker([...FREE, "--data", data]));
});

test("with --http off there is no HTTP, and the ready line says so by its absence", async () => {
  const data = join(folder, "no-http");
  const broker = startCli([
    "serve",
    "--listen",
    "mqtt://127.0.0.1:0",
    "--http",
    "off",
    "--data",
    data,
  ]);
  const [line] = (await once(broker.child.stdout ?? assert.fail(), "data")) as [string];
  const [, pid, url] = /^ready pid=(\d+) (mqtt:\/\/\S+)\n$/.exec(line) ?? [];
  const run = JSON.parse(readFileSync(join(data, "rillmq.json"), "utf8")) as unknown;
  assert.deepEqual(run, { pid: Number(pid), urls: [url] });
  process.kill(Number(pid), "SIGINT");
  assert.equal((await broker.ended).exitCode, 0);
});

test("a taken default HTTP port gives way to a free one, and the log says so", async (t) => {
  const taken = createServer();
  const isFree = await new Promise<boolean>((resolve) => {
    taken.once("error", () => resolve(false)).listen(9_883, "127.0.0.1", () => resolve(true));
  });
  t.diagnostic(isFree ? "took port 9883" : "port 9883 was taken already");
  const args = ["--listen", "mqtt://127.0.0.1:0", "--data", join(folder, "http-port")];
  const broker = await startBroker(args);
  try {
    assert.notEqual(new URL(broker.http).port, "9883");
    assert.equal((await fetch(`${broker.http}/readyz`)).status, 200);
  } finally {
    await stop(broker);
    if (isFree) taken.close();
  }
  assert.match((await broker.ended).stderr, /HTTP port is taken/);
});
