import assert from "node:assert/strict";
import { test } from "node:test";
import { CLIENT_OPS } from "../../src/native/frame-fields.ts";
import { Chance } from "../fuzz/chance.ts";
import { runFuzz } from "../fuzz/fuzz-run.ts";
import { MUTATIONS, spoil } from "../fuzz/mutations.ts";
import { DRAWN_OPS } from "../fuzz/native-conversation.ts";
import { NATIVE_MUTATIONS } from "../fuzz/native-mutations.ts";
import { SOCKET_KINDS, WELCOME } from "../fuzz/socket-target.ts";
import { validConversation } from "../fuzz/valid-conversation.ts";

const FROM_CLIENTS = [
  "CONNECT",
  "PUBLISH",
  "PUBACK",
  "PUBREC",
  "PUBREL",
  "PUBCOMP",
  "SUBSCRIBE",
  "UNSUBSCRIBE",
  "PINGREQ",
  "DISCONNECT",
  "AUTH",
];

test("Spoiled conversations reach every decoder and harm nobody.", async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  t.diagnostic(`seed ${seed}`);
  const lines: string[] = [];
  const report = await runFuzz({
    inputs: 3_000,
    seed,
    socketInputs: 200,
    onProgress: (line) => lines.push(line),
  });
  assert.ok(report.inputs >= 3_000);
  const reached = JSON.parse(JSON.stringify(report.reached)) as Record<string, number>;
  for (const name of FROM_CLIENTS) assert.ok((reached[name] ?? 0) > 0, `${name} was not reached`);
  const ways = JSON.parse(JSON.stringify(report.ways)) as Record<string, number>;
  for (const way of Object.keys(MUTATIONS)) assert.ok((ways[way] ?? 0) > 0, `never: ${way}`);
  const native = JSON.parse(JSON.stringify(report.native)) as Record<
    string,
    Record<string, number>
  >;
  for (const op of DRAWN_OPS) assert.ok((native["ops"]?.[op] ?? 0) > 0, `never asked: ${op}`);
  for (const way of NATIVE_MUTATIONS) {
    assert.ok((native["ways"]?.[way] ?? 0) > 0, `native frames never: ${way}`);
  }
  const sockets = JSON.parse(JSON.stringify(report.sockets)) as Record<string, number>;
  for (const kind of [...SOCKET_KINDS, WELCOME])
    assert.ok((sockets[kind] ?? 0) > 0, `never: ${kind}`);
});

test("Every op that a native client may send is drawn.", () => {
  assert.deepEqual([...DRAWN_OPS].sort(), [...CLIENT_OPS].sort());
});

test("The same seed spoils the same way.", () => {
  const draw = (seed: number): string => {
    const chance = new Chance(seed);
    const { packets } = validConversation(chance);
    return Buffer.concat([...spoil(packets, chance).chunks]).toString("hex");
  };
  for (let seed = 0; seed < 50; seed++) assert.equal(draw(seed), draw(seed));
  assert.notEqual(draw(1), draw(2));
});
