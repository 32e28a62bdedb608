import assert from "node:assert/strict";
import { test } from "node:test";
import { textOf } from "../../support/native-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);

test("A request gets the reply of one responder, within its credit, and no answer when there is none.", () => {
  const node = new VirtualNode();
  const asker = node.native("asker");
  const ask = { op: "request", topic: "sum", timeoutMs: 1_000, payload: bytes("1+1") };
  assert.equal(asker.refused(ask), "no-responder");
  const responder = node.native("responder");
  const { sub } = responder.ok({ op: "respond", filter: "sum", credit: 1 });
  const id = asker.begin(ask);
  const [request] = responder.takeAll("request");
  assert.deepEqual([request?.sub, request?.topic, textOf(request?.payload)], [sub, "sum", "1+1"]);
  assert.equal(request?.deadlineMs, 1_000);
  assert.equal(asker.refused(ask), "busy", "no credit left");
  responder.ok({ op: "reply", request: request?.request, payload: bytes("2") });
  assert.equal(textOf(asker.answerTo(id)?.["payload"] as Uint8Array), "2");
  const twice = { op: "reply", request: request?.request, payload: bytes("3") };
  assert.equal(responder.refused(twice), "not-found");
  responder.send({ op: "credit", sub, add: 2 });
  const failed = asker.begin(ask);
  const [second] = responder.takeAll("request");
  responder.ok({ op: "reply", request: second?.request, error: "no numbers" });
  const answer = asker.answerTo(failed);
  assert.deepEqual([answer?.["code"], answer?.["text"]], ["responder-error", "no numbers"]);
  const late = asker.begin(ask);
  node.advance(1_000);
  assert.equal(asker.answerTo(late)?.["code"], "timeout");
});

test("A reply that is known under its key is the answer, and says so.", () => {
  const node = new VirtualNode();
  const asker = node.native("asker");
  const responder = node.native("responder");
  responder.ok({ op: "respond", filter: "price/+", credit: 10 });
  const ask = { op: "request", topic: "price/a", timeoutMs: 1_000, cacheKey: "a", cacheTtlMs: 500 };
  const id = asker.begin(ask);
  const [request] = responder.takeAll("request");
  responder.send({ op: "reply", request: request?.request, payload: bytes("7") });
  assert.equal(asker.answerTo(id)?.["cached"], undefined);
  assert.equal(asker.ok(ask)["cached"], true);
  node.advance(501);
  asker.begin(ask);
  assert.equal(responder.takeAll("request").length, 1);
});

test("Of a group of responders one gets each request, one with credit, and a sub of events gets none.", () => {
  const node = new VirtualNode();
  const asker = node.native("asker");
  const watcher = node.native("watcher");
  watcher.ok({ op: "subscribe", filter: "#", credit: 10 });
  const members = ["a", "b"].map((name) => node.native(name));
  for (const member of members) member.ok({ op: "respond", filter: "job", group: "g", credit: 1 });
  for (let i = 0; i < 2; i++) asker.begin({ op: "request", topic: "job", timeoutMs: 1_000 });
  assert.deepEqual(
    members.map((member) => member.takeAll("request").length),
    [1, 1],
  );
  assert.deepEqual(watcher.takeAll("event"), []);
});

test("A reply for which there is no room just now may be tried again.", () => {
  const node = new VirtualNode({ flushes: "manual", pendingBytesMax: 2_000 });
  const device = node.connect("device", {
    cleanStart: false,
    properties: { sessionExpirySeconds: 600 },
  });
  node.flushAll();
  device.subscribe("answers", { qos: 1 });
  node.flushAll();
  const responder = node.dialNative();
  responder.begin({ op: "hello", versions: [1], clientId: "responder" });
  node.flushAll();
  responder.ok({ op: "respond", filter: "ask", credit: 1 });
  device.publish("ask", "?", { properties: { responseTopic: "answers" } });
  const [request] = responder.takeAll("request");

  responder.begin({ op: "send", queue: "q", messages: [{ payload: new Uint8Array(4_000) }] });
  const reply = { op: "reply", request: request?.request, payload: bytes("!") };
  assert.equal(responder.refused(reply), "busy");
  node.flushAll();
  responder.ok(reply);
  assert.equal(responder.refused(reply), "not-found");
});

test("A requester sees the correlation that it gave and no other: not its token, nor, from the cache, that of who asked first.", () => {
  const node = new VirtualNode();
  const asker = node.native("asker");
  const responder = node.native("responder");
  responder.ok({ op: "respond", filter: "price/+", credit: 10 });
  const answer = (ask: object): unknown => {
    const id = asker.begin({ op: "request", topic: "price/a", timeoutMs: 1_000, ...ask });
    for (const { request, correlation } of responder.takeAll("request")) {
      assert.ok(correlation !== undefined, "MQTT devices need one");
      responder.ok({ op: "reply", request });
    }
    const answered = asker.answerTo(id);
    assert.equal(answered?.op, "ok");
    const correlation = answered?.["correlation"];
    return correlation === undefined ? undefined : textOf(correlation as Uint8Array);
  };
  assert.equal(answer({}), undefined);
  assert.equal(answer({ correlation: bytes("mine") }), "mine");
  const cached = { cacheKey: "k", cacheTtlMs: 60_000 };
  assert.equal(answer({ ...cached, correlation: bytes("first") }), "first");
  assert.equal(answer({ ...cached, correlation: bytes("second") }), "second");
  assert.equal(answer(cached), undefined);
});
