import assert from "node:assert/strict";
import { test } from "node:test";
import { publishPacket, type Received, type VirtualClient } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const lasting = { cleanStart: false, properties: { sessionExpirySeconds: 3_600 } };
/** Clients that subscribe together; what came so far is read. */
function members(
  node: VirtualNode,
  names: readonly string[],
  { qos = 1, fields = {} }: { qos?: 0 | 1 | 2; fields?: object } = {},
): VirtualClient[] {
  return names.map((name) => {
    const client = node.connect(name, fields);
    client.subscribe("$share/g/t/#", { qos });
    client.take();
    return client;
  });
}

function publish(node: VirtualNode, count: number, qos: 0 | 1 | 2 = 1, from = 0): VirtualClient {
  const publisher = node.connect(`p${from}`);
  for (let i = 0; i < count; i++) {
    publisher.send(
      publishPacket("t/x", String(from + i), { qos, packetId: qos === 0 ? 0 : i + 1 }),
    );
  }
  return publisher;
}

const payloads = (messages: readonly Received[]): string[] =>
  messages.map(({ payload }) => payload);

for (const qos of [0, 1, 2] as const) {
  for (const fields of [{}, lasting]) {
    const kind = fields === lasting ? "durable" : "passing";
    test(`Each message with QoS ${qos} goes to one of three ${kind} members.`, () => {
      const node = new VirtualNode();
      const three = members(node, ["a", "b", "c"], { qos, fields });
      publish(node, 9, qos);
      const got = three.map((each) => payloads(each.takeMessages()));
      assert.deepEqual(
        got.map(({ length }) => length),
        [3, 3, 3],
      );
      assert.equal(new Set(got.flat()).size, 9);
    });
  }
}

test("A session gets a copy for each of its groups and one for its plain subscriptions.", () => {
  const node = new VirtualNode();
  const one = node.connect("a");
  one.subscribe("t/x", { qos: 1 }, { subscriptionIdentifiers: [1] });
  one.subscribe("$share/g/t/x", { qos: 2 }, { subscriptionIdentifiers: [2] });
  one.subscribe("$share/g/t/+", { qos: 0 }, { subscriptionIdentifiers: [3] });
  one.subscribe("$share/h/t/x", { qos: 1 });
  one.take();
  publish(node, 1);
  const got = one.takeMessages();
  assert.deepEqual(
    got.map((each) => [each.qos, each.properties.subscriptionIdentifiers]).toSorted(),
    [
      [0, [3]],
      [1, undefined],
      [1, [1]],
      [1, [2]],
    ].toSorted(),
  );
});
