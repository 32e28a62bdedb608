import assert from "node:assert/strict";
import { test } from "node:test";
import { type MessageProperties, propertyBytes } from "../../../src/broker/message.ts";
import { textOf } from "../../support/native-client.ts";
import { messageOf } from "../../support/test-requester.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const LONG = "x".repeat(1_000);

for (const properties of [
  { contentType: LONG },
  { responseTopic: LONG },
  { correlationData: Buffer.from(LONG) },
  { userProperties: [[LONG, ""]] },
  { userProperties: [["", LONG]] },
  { userProperties: Array.from({ length: 21 }, () => ["", ""] as const) },
  { attributes: { messageId: LONG } },
  { attributes: { deadLetterQueue: LONG } },
  { attributes: { reroutedFrom: LONG } },
] as const satisfies MessageProperties[]) {
  test(`${Object.keys(properties).join()} of a message counts: ${JSON.stringify(properties).slice(0, 40)}`, () => {
    assert.ok(propertyBytes(properties) >= 1_000);
  });
}

test("Messages of a queue with long properties come in several frames, each of a bounded size.", () => {
  const node = new VirtualNode();
  const queue = node.broker.queues.open("q");
  assert.ok(queue !== undefined);
  const correlationData = Buffer.alloc(60_000);
  for (let i = 0; i < 10; i++) {
    node.broker.queues.send(queue, messageOf("t", "x", node.now, { correlationData }));
  }
  node.turn();
  const client = node.native("c");
  const answer = client.ok({ op: "receive", queue: "q", max: 10 });
  assert.equal((answer["deliveries"] as unknown[]).length, 3);
});

test("Requests with long correlations that a responder leaves unanswered are bounded in bytes: the oldest are forgotten.", () => {
  const node = new VirtualNode();
  const responder = node.native("responder");
  responder.ok({ op: "respond", filter: "ask", credit: 1_000 });
  const asker = node.native("asker");
  const correlation = Buffer.alloc(65_000);
  for (let i = 0; i < 300; i++) {
    asker.send({ op: "publish", topic: "ask", responseTopic: "answer", correlation });
  }
  const requests = responder.takeAll("request").map(({ request }) => request);
  assert.equal(requests.length, 300);
  assert.equal(responder.refused({ op: "reply", request: requests[0] }), "not-found");
  asker.ok({ op: "subscribe", filter: "answer", credit: 10 });
  const payload = Buffer.from("late");
  responder.ok({ op: "reply", request: requests[299], payload });
  assert.deepEqual(
    asker.takeAll("event").map((event) => textOf(event.payload)),
    ["late"],
  );
});
