import assert from "node:assert/strict";
import { test } from "node:test";
import type { SendOptions } from "../../../src/broker/queues.ts";
import { Taker } from "../../support/queue-bench.ts";
import { messageOf } from "../../support/test-requester.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const MINUTE = 60_000;

function send(node: VirtualNode, text: string, options: SendOptions = {}): void {
  const queue = node.broker.queues.open("q");
  assert.ok(queue !== undefined);
  node.broker.queues.send(queue, messageOf("q", text, node.now), options);
  node.turn();
}

function take(node: VirtualNode, visibilityMs = 10 * MINUTE): string[] {
  const taker = new Taker(100, visibilityMs);
  const deliveries = node.broker.queues.get("q")?.deliveries;
  deliveries?.addReceiver(taker);
  deliveries?.pump();
  deliveries?.removeReceiver(taker);
  node.turn();
  return taker.texts;
}

test("Time spent off counts for delay and visibility when the clock is right at the start.", () => {
  const node = new VirtualNode();
  send(node, "hidden");
  assert.deepEqual(take(node), ["hidden"]);
  send(node, "delayed", { delayMs: 10 * MINUTE });
  node.off(9 * MINUTE);
  assert.deepEqual(take(node), []);
  node.advance(MINUTE);
  assert.deepEqual(take(node), ["hidden", "delayed"]);
});

test("It counts when it is learned later, and only for what is from before.", () => {
  const node = new VirtualNode();
  send(node, "hidden");
  assert.deepEqual(take(node), ["hidden"]);
  send(node, "delayed", { delayMs: 10 * MINUTE });
  node.wall.isTrusted = false;
  node.off(9 * MINUTE);
  send(node, "later", { delayMs: 3 * MINUTE });
  node.advance(30_000);
  assert.deepEqual(take(node), []);
  node.wall.isTrusted = true;
  node.advance(20_000);
  assert.deepEqual(take(node), []);
  node.advance(15_000);
  assert.deepEqual(take(node), ["hidden", "delayed"]);
  node.advance(100_000);
  assert.deepEqual(take(node), []);
  node.advance(20_000);
  assert.deepEqual(take(node), ["later"]);
});

test("What was moved because of time spent off is moved once, also when the broker ends again.", () => {
  const node = new VirtualNode();
  send(node, "delayed", { delayMs: 10 * MINUTE });
  node.wall.isTrusted = false;
  node.off(5 * MINUTE);
  node.wall.isTrusted = true;
  node.advance(2_000);
  node.crash();
  node.crash();
  node.advance(4 * MINUTE);
  assert.deepEqual(take(node), []);
  node.advance(MINUTE);
  assert.deepEqual(take(node), ["delayed"]);
});

test("A wall clock that leaps during a run makes nothing due.", () => {
  const node = new VirtualNode();
  send(node, "hidden");
  take(node);
  send(node, "delayed", { delayMs: 10 * MINUTE });
  node.wall.aheadMs += 365 * 24 * 60 * MINUTE;
  node.advance(9 * MINUTE);
  assert.deepEqual(take(node), []);
  node.wall.aheadMs -= 3 * 365 * 24 * 60 * MINUTE;
  node.advance(MINUTE + 1_000);
  assert.deepEqual(take(node), ["hidden", "delayed"]);
});
