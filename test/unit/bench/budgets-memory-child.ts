/** Run with `--expose-gc` by `budgets.test.ts`: what things that stay take in memory, as JSON on standard output. */
import { SubscriptionTree } from "../../../src/broker/subscription-tree.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const CONNECTIONS = 2_000;
const SUBSCRIPTIONS = 20_000;

function used(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Of a client that says nothing: its connection and session, and the test's own end of it. */
function perConnection(): number {
  const node = new VirtualNode();
  node.connect("first");
  const before = used();
  for (let i = 0; i < CONNECTIONS; i++) node.connect(`device-${i}`);
  return (used() - before) / CONNECTIONS;
}

/** Of one of many subscriptions of a client, each to a topic of its own: in its session, and in the tree. */
function perSubscription(): number {
  const node = new VirtualNode();
  const client = node.connect("reader");
  client.subscribe("first/0/state");
  const before = used();
  for (let i = 0; i < CONNECTIONS; i++) {
    client.subscribe(`plant/${i}/state`);
    client.link.output.clear();
  }
  return (used() - before) / CONNECTIONS;
}

/** The same in the tree alone. */
function perFilter(): number {
  const tree = new SubscriptionTree<string>();
  const before = used();
  for (let i = 0; i < SUBSCRIPTIONS; i++) {
    tree.add({
      subscriber: "reader",
      topicFilter: `plant/${i}/state`,
      qos: 0,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0,
      subscriptionId: undefined,
    });
  }
  return (used() - before) / tree.size;
}

if (globalThis.gc === undefined) throw new Error("needs --expose-gc");
const connection = perConnection();
const subscription = perSubscription();
const filter = perFilter();
process.stdout.write(`${JSON.stringify({ connection, subscription, filter })}\n`);
