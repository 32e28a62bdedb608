import assert from "node:assert/strict";
import { test } from "node:test";
import { openAuthenticator } from "../../../src/broker/authenticator.ts";
import { ProtocolVersion } from "../../../src/mqtt/packet.ts";
import type { VirtualClient } from "../../support/virtual-client.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

/** Two retained messages per user; whoever connects is who it says it is. */
function nodeWithQuota(): VirtualNode {
  return new VirtualNode({
    retained: { messagesPerUserMax: 2 },
    connection: {
      authenticator: {
        authenticate: (claim, done) => {
          if (claim.username === undefined) return openAuthenticator.authenticate(claim, done);
          done({ isAccepted: true, principal: claim.username });
          return () => undefined;
        },
      },
    },
  });
}

function connected(node: VirtualNode, clientId: string, username?: string): VirtualClient {
  const client = node.connect(clientId, { username });
  client.take();
  return client;
}

let packetId = 0;

/** Publishes a retained message with QoS 1; returns the answer. */
function retain(client: VirtualClient, topic: string, payload = "p"): string {
  client.publish(topic, payload, { qos: 1, packetId: ++packetId, retain: true });
  return client.takeText().join().replace(`puback ${packetId}`, "puback");
}

test("One user keeps no more retained messages than its share, over how many clients ever; others have theirs.", () => {
  const node = nodeWithQuota();
  const [first, second] = [connected(node, "1", "ann"), connected(node, "2", "ann")];
  assert.equal(retain(first, "a"), "puback 0x10");
  assert.equal(retain(second, "b"), "puback 0x10");
  assert.equal(retain(first, "c"), "puback 0x97");
  assert.equal(retain(first, "b", "other"), "puback 0x10");
  const other = connected(node, "3", "bob");
  assert.equal(retain(other, "c"), "puback 0x10");
  const nobody = connected(node, "4");
  assert.equal(retain(nobody, "d"), "puback 0x10");
  assert.equal(retain(connected(node, "5"), "e"), "puback 0x10");
  assert.equal(retain(nobody, "f"), "puback 0x97");
  assert.equal(node.broker.retained.size, 5);
});

test("Deleting one, or somebody else's taking it over, gives room again.", () => {
  const node = nodeWithQuota();
  const ann = connected(node, "1", "ann");
  const bob = connected(node, "2", "bob");
  retain(ann, "a");
  retain(ann, "b");
  assert.equal(retain(ann, "c"), "puback 0x97");
  retain(bob, "b");
  assert.equal(retain(ann, "c"), "puback 0x10");
  assert.equal(retain(ann, "d"), "puback 0x97");
  retain(bob, "a", "");
  assert.equal(retain(ann, "d"), "puback 0x10");
  assert.equal(retain(ann, "b"), "puback 0x97", "taking over what is another's counts");
});

test("Whose they are is on disk: a restart opens no way around the share.", () => {
  const node = nodeWithQuota();
  const before = connected(node, "1", "ann");
  retain(before, "a");
  retain(before, "b");
  node.crash();
  assert.equal(retain(connected(node, "1", "ann"), "c"), "puback 0x97");
  assert.equal(retain(connected(node, "2", "bob"), "c"), "puback 0x10");
});

test("QoS 0 beyond the share is delivered and not kept, and counted.", () => {
  const node = nodeWithQuota();
  const ann = connected(node, "1", "ann");
  const observer = connected(node, "observer");
  observer.subscribe("#");
  observer.take();
  for (const topic of ["a", "b", "c"]) ann.publish(topic, "p", { retain: true });
  assert.equal(observer.takeMessages().length, 3);
  assert.equal(node.broker.retained.size, 2);
  assert.equal(node.broker.counters.droppedNotStored, 1);
});

test("A retained will beyond the share is delivered and not kept, and counted.", () => {
  const node = nodeWithQuota();
  const observer = connected(node, "observer");
  observer.subscribe("#");
  observer.take();
  for (const topic of ["a", "b", "c"]) {
    const will = { topic, payload: Buffer.from("gone"), qos: 1 as const, retain: true };
    const client = node.connect(topic, {
      username: "ann",
      will: { ...will, properties: {} },
      version: ProtocolVersion.v311,
    });
    client.lose();
  }
  assert.equal(observer.takeMessages().length, 3);
  assert.equal(node.broker.retained.size, 2);
  assert.equal(node.broker.counters.droppedNotStored, 1);
});
