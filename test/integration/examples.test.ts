import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { build } from "esbuild";
import { BrokerHome } from "../support/broker-process.ts";
import { requireProgram } from "../support/requirements.ts";

const run = promisify(execFile);
const EXAMPLES = join(import.meta.dirname, "..", "..", "examples");
const CLIENT = join(import.meta.dirname, "..", "..", "src", "client");
const LISTENERS = { listeners: [{ url: "rill://127.0.0.1:0" }] };

async function serve(t: TestContext): Promise<string> {
  const broker = await new BrokerHome(t).start({ config: LISTENERS });
  return broker.urls[0] ?? "";
}

/** An example as one file: the package's own entry is the one in src/. */
async function bundleForBrowsers(t: TestContext, name: string) {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-example-"));
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  const outfile = join(folder, `${name}.mjs`);
  await build({
    entryPoints: [join(EXAMPLES, `${name}.ts`)],
    alias: { "rillmq/client": join(CLIENT, "browser.ts") },
    bundle: true,
    platform: "browser",
    format: "esm",
    outfile,
    logLevel: "error",
  });
  return { folder, outfile };
}

for (const [name, expected] of [
  ["events", "plant/7/temperature: 21.5\n"],
  ["streams", "first, delivery 1\nsecond, delivery 1\nlast: second\n"],
  ["queues", "paint done\npolish done\nexplode failed in jobs\n"],
  ["requests", /^42\nresponder-error: not a number\nno-responder: .*\n$/],
] as const) {
  test(`The example of ${name} does what it says.`, async (t) => {
    const url = await serve(t);
    const args = ["--import", "tsx", join(EXAMPLES, `${name}.ts`), url];
    const { stdout } = await run(process.execPath, args, { timeout: 20_000 });
    if (typeof expected === "string") assert.equal(stdout, expected);
    else assert.match(stdout, expected);
  });
}

/** A page that runs a script and posts what its body says; resolves with that. */
async function servePage(t: TestContext, script: () => Promise<string>) {
  let tell: (text: string) => void = () => undefined;
  const told = new Promise<string>((resolve) => {
    tell = resolve;
  });
  const server = createServer((request, response) => {
    if (request.method === "POST") {
      let body = "";
      request.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      request.on("end", () => tell(body));
      response.end();
      return;
    }
    response.setHeader("content-type", "text/html; charset=utf-8");
    const post = 'fetch("/", { method: "POST", body: document.body.textContent })';
    const observer = `new MutationObserver(() => ${post}).observe(document.body, { childList: true });
      addEventListener("unhandledrejection", ({ reason }) => { document.body.textContent = "failed: " + reason; });`;
    void script().then((module) => {
      response.end(
        `<!doctype html><head><script type="module">${module}</script></head><body><script>${observer}</script></body>`,
      );
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, told };
}

test("A page in Chromium works off a queue through the client.", async (t) => {
  const chromium = requireProgram(t, "chromium");
  if (chromium === undefined) return;
  const { folder, outfile } = await bundleForBrowsers(t, "browser");
  const page = await servePage(t, async () =>
    (await readFile(outfile, "utf8")).replaceAll("</script", "<\\/script"),
  );
  const listeners = [{ url: "rill://127.0.0.1:0", origins: [page.origin] }];
  const broker = await new BrokerHome(t).start({ config: { listeners } });
  const browser = spawn(
    chromium,
    [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--no-first-run",
      `--user-data-dir=${join(folder, "profile")}`,
      "--remote-debugging-port=0",
      `${page.origin}/#${encodeURIComponent(broker.urls[0] ?? "")}`,
    ],
    // A group of its own: its helpers end with it.
    { detached: true, stdio: ["ignore", "ignore", "pipe"] },
  );
  let errors = "";
  browser.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-4_000);
  });
  const ended = once(browser, "close");
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the page said nothing:\n${errors}`)), 60_000);
  });
  try {
    assert.equal(await Promise.race([page.told, late]), "from the browser 0,255");
  } finally {
    clearTimeout(timer);
    if (browser.pid !== undefined) process.kill(-browser.pid, "SIGKILL");
    await ended;
  }
});
