/** Runs the examples of docs/native-protocol.md against a broker, in the order in which they are there. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ERROR_CODES, type ServerFrame } from "../../../src/native/frame.ts";
import { codecOf } from "../../../src/native/frame-codec.ts";
import { CLIENT_OPS, checkClientFrame } from "../../../src/native/frame-fields.ts";
import { isRetryable } from "../../../src/native/refusal.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const DOC = join(import.meta.dirname, "../../../docs/native-protocol.md");
const text = readFileSync(DOC, "utf8");
const json = codecOf("rill.v1+json");
const messagePack = codecOf("rill.v1+msgpack");

type Step =
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "client" | "server"; readonly json: string; readonly hex: string };

const STEP =
  /<!-- wait (\d+) -->|```json (client|server)\n([^\n]+)\n```\n```hex\n([0-9a-f\n]+)\n```/g;

const steps: readonly Step[] = [...text.matchAll(STEP)].map(([, ms, kind, shown = "", hex = ""]) =>
  kind === "client" || kind === "server"
    ? { kind, json: shown, hex: hex.replaceAll("\n", "") }
    : { kind: "wait", ms: Number(ms) },
);

/** Every op that a broker may say; the compiler sees to it that none is missing. */
const SERVER_OPS = {
  welcome: true,
  ok: true,
  error: true,
  ping: true,
  pong: true,
  event: true,
  records: true,
  deliveries: true,
  request: true,
  dropped: true,
  ended: true,
} as const satisfies Record<ServerFrame["op"], true>;

const frameOf = (step: { readonly json: string }): unknown =>
  json.decode(Buffer.from(step.json))[0];

const plain = (value: unknown): unknown =>
  JSON.parse(Buffer.from(json.encode(value) as string).toString());

test("The broker answers the examples as the page says, in their order.", () => {
  const node = new VirtualNode();
  const client = node.dialNative("rill.v1+json");
  const said: unknown[] = [];
  const listen = (): void => {
    const message = client.link.take();
    if (message.length > 0) said.push(...json.decode(message).map(plain));
  };
  for (const step of steps) {
    if (step.kind === "server") {
      assert.deepEqual(said.shift(), plain(frameOf(step)), step.json);
      continue;
    }
    assert.deepEqual(said, [], "something was said that the page does not show");
    if (step.kind === "wait") node.advance(step.ms);
    else client.sendRaw(Buffer.from(step.json));
    listen();
  }
  assert.deepEqual(said, []);
  assert.equal(client.isClosed, false);
});

test("The bytes of the examples are the same frames in MessagePack.", () => {
  let count = 0;
  for (const step of steps) {
    if (step.kind === "wait") continue;
    const bytes = Buffer.from(step.hex, "hex");
    assert.deepEqual(plain(messagePack.decode(bytes)[0]), plain(frameOf(step)), step.json);
    const encoded = Buffer.from(messagePack.encode(frameOf(step)));
    assert.equal(encoded.toString("hex"), step.hex, step.json);
    if (step.kind === "client") checkClientFrame(messagePack.decode(bytes)[0]);
    count++;
  }
  assert.ok(count > 80, `only ${count} examples were found`);
});

test("Every op of both ends has an example.", () => {
  const ops = (kind: string): Set<unknown> =>
    new Set(
      steps.flatMap((step) =>
        step.kind === kind ? [(frameOf(step as { json: string }) as { op: string }).op] : [],
      ),
    );
  const byClient = ops("client");
  assert.deepEqual(
    CLIENT_OPS.filter((op) => !byClient.has(op)),
    [],
  );
  const byServer = ops("server");
  assert.deepEqual(
    Object.keys(SERVER_OPS).filter((op) => !byServer.has(op)),
    [],
  );
});

test("The table of errors has every code, and says which may be tried again.", () => {
  const rows = [...text.matchAll(/^\| `([a-z-]+)` \| .+ \| (yes|no) \|$/gm)];
  assert.deepEqual(
    rows.map(([, code, retry]) => [code, retry]),
    ERROR_CODES.map((code) => [code, isRetryable(code) ? "yes" : "no"]),
  );
});
