/** The corpus of malformed frames: each is refused with its stable code, has no effect, and another client is still served. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SUBPROTOCOLS, type Subprotocol } from "../../../src/native/frame.ts";
import { CLIENT_OPS } from "../../../src/native/frame-fields.ts";
import { NATIVE_CASES, type NativeCase, SPECS, UNDECODABLE } from "../../malformed/native-cases.ts";
import type { NativeClient } from "../../support/native-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

function welcome(node: VirtualNode, subprotocol: Subprotocol): NativeClient {
  const client = node.dialNative(subprotocol);
  client.send({ op: "hello", id: 0, versions: [1], clientId: "hostile" });
  assert.equal(client.takeFrames()[0]?.op, "welcome");
  return client;
}

const nameOf = ({ op, fault }: NativeCase): string => `${op}: ${fault}`;

test("The corpus has many cases, each once, of every op that has fields.", () => {
  const names = NATIVE_CASES.map(nameOf);
  assert.equal(new Set(names).size, names.length);
  assert.ok(names.length > 1_000, String(names.length));
  const others = ["hello", "ping", "pong", "credit"];
  assert.deepEqual([...Object.keys(SPECS), ...others].sort(), [...CLIENT_OPS].sort());
});

for (const subprotocol of SUBPROTOCOLS) {
  test(`${subprotocol}: frames are taken without their fault.`, () => {
    for (const [op, { base }] of Object.entries(SPECS)) {
      const client = welcome(new VirtualNode(), subprotocol);
      client.send({ op, id: 7, ...base });
      const answers = client.takeFrames().filter((frame) => "id" in frame && frame.id === 7);
      const codes = answers.map((frame) => ("code" in frame ? frame.code : "ok"));
      assert.ok(!codes.includes("bad-frame") && !client.isClosed, `${op}: ${codes}`);
    }
  });

  test(`${subprotocol}: a malformed frame is refused, has no effect, and others are served.`, () => {
    const node = new VirtualNode();
    const other = node.native("other");
    other.ok({ op: "stream.create", stream: "s" });
    other.ok({ op: "queue.create", queue: "q" });
    const info = (): unknown => {
      const { id: _s, ...stream } = other.ok({ op: "stream.info", stream: "s" });
      const { id: _q, ...queue } = other.ok({ op: "queue.info", queue: "q" });
      return { stream, queue, lists: [broker.queues.size, broker.streams.size] };
    };
    const { broker } = node;
    const before = info();
    let client = welcome(node, subprotocol);
    for (const each of NATIVE_CASES) {
      client.send(each.frame);
      const answers = client.takeFrames();
      const [answer] = answers;
      const { kind, code } = each.expected;
      assert.ok(answers.length === 1 && answer?.op === "error", nameOf(each));
      assert.equal(answer.code, code, nameOf(each));
      assert.equal(answer.retry, false, nameOf(each));
      assert.equal(client.isClosed, kind === "closes", nameOf(each));
      if (kind === "answers") assert.equal(answer.id, 7, nameOf(each));
      else client = welcome(node, subprotocol);
      assert.deepEqual(info(), before, nameOf(each));
      assert.deepEqual([broker.subscriptionCount, broker.requests.size], [0, 0], nameOf(each));
    }
  });

  test(`${subprotocol}: what cannot be decoded ends the connection with an error that says so.`, () => {
    const node = new VirtualNode();
    for (const bytes of UNDECODABLE[subprotocol]) {
      const client = welcome(node, subprotocol);
      client.sendRaw(bytes);
      const [answer] = client.takeFrames();
      const what = bytes.toString("hex");
      assert.ok(answer?.op === "error" && answer.code === "bad-frame" && !("id" in answer), what);
      assert.ok(client.isClosed, what);
    }
    assert.equal(node.broker.counters.protocolErrors, UNDECODABLE[subprotocol].length);
  });
}
