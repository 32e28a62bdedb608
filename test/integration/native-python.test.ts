/** A client in another language, written from docs/native-protocol.md, works with the broker. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { BrokerHome } from "../support/broker-process.ts";
import { requireProgram } from "../support/requirements.ts";

const CLIENT = join(import.meta.dirname, "../python/rill_client.py");

test("A client in Python's standard library does all that the document describes.", async (t) => {
  const python = requireProgram(t, "python3");
  if (python === undefined) return;
  const config = { listeners: [{ url: "rill://127.0.0.1:0" }] };
  const broker = await new BrokerHome(t).start({ config });
  const url = broker.urls[0]?.replace(/^rill/, "ws") ?? "";
  const { stdout } = await promisify(execFile)(python, [CLIENT, url], { timeout: 30_000 });
  const said = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.deepEqual(said, [
    { did: "hello", clientId: "py-1" },
    { did: "events", topics: ["python/1", "python/2"] },
    { did: "streams", sequences: [1, 2, 3, 4, 5], payloads: ["r0", "r1", "r2", "r3", "r4"] },
    { did: "queues", payloads: ["a", "b"] },
    { did: "requests", reply: "3" },
    { did: "goodbye", code: "unknown-op" },
  ]);
});
