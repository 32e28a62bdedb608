/** Queues, streams and replies, from MQTT by their topics and natively: who may, what settles, what is refused. */
import type { Mutant } from "./mutant.ts";

const TABLE_TEST = "test/unit/mqtt/pattern-topic-table.test.ts";
const RIGHTS_TEST = "test/unit/native/rights.test.ts";
const SUBSCRIPTIONS_TEST = "test/unit/broker/pattern-subscriptions.test.ts";
const REQUESTS_TEST = "test/unit/broker/requests.test.ts";
const TOPICS = "src/broker/pattern-topics.ts";
const INBOUND = "src/mqtt/inbound.ts";
const SUBSCRIBE = "src/mqtt/subscribe.ts";

export const PATTERN_MUTANTS: readonly Mutant[] = [
  {
    name: "reply-topic-routed",
    breaks: "A reply goes to whoever subscribes to its topic, and to nobody who waits for it.",
    rule: "Promise: a reply goes to its requester and nowhere else",
    file: INBOUND,
    find: "? this.#reply(topic)",
    replacement: "? this.#broker.publish(this.#message, session)",
    tests: [TABLE_TEST, REQUESTS_TEST],
  },
  {
    name: "reply-topic-for-3x",
    breaks: "Clients that have no response topics may publish to reply topics.",
    rule: "Promise: reply topics are for MQTT 5",
    file: INBOUND,
    find: "if (isReply && this.#version === ProtocolVersion.v5) return 0;",
    replacement: "if (isReply) return 0;",
    tests: [TABLE_TEST, REQUESTS_TEST],
  },
  {
    name: "second-reply-taken",
    breaks: "A request is answered as often as somebody replies.",
    rule: "Promise: one reply or one error",
    file: "src/broker/requests.ts",
    find: "if (!this.#byToken.delete(token)) return false;",
    replacement: "if (!this.#byToken.has(token)) return false;",
    tests: [REQUESTS_TEST],
  },
  {
    name: "pattern-topics-without-rules",
    breaks: "Without rules everybody may publish to queues and streams.",
    rule: "Promise: without rules queues and streams are for no MQTT client",
    file: INBOUND,
    find: "} else if (!isOffered || !authorizer.mayPublish(principal, clientId, topic.text)) {",
    replacement: "} else if (!authorizer.mayPublish(principal, clientId, topic.text)) {",
    tests: [SUBSCRIPTIONS_TEST],
  },
  {
    name: "pattern-filters-without-rules",
    breaks: "Without rules everybody may subscribe to queues and streams.",
    rule: "Promise: without rules queues and streams are for no MQTT client",
    file: SUBSCRIBE,
    find: "if (!isOffered && isPatternFilter(topicFilter)) return ReasonCode.notAuthorized;",
    replacement: "",
    tests: [SUBSCRIPTIONS_TEST],
  },
  {
    name: "queue-at-qos-2",
    breaks: "A queue is subscribed to with QoS 2, which nothing settles.",
    rule: "Promise: PUBACK settles a delivery",
    file: SUBSCRIBE,
    find: "return isPatternFilter(topicFilter) ? lowerQos(granted, 1) : granted;",
    replacement: "return granted;",
    tests: [TABLE_TEST],
  },
  {
    name: "queue-at-qos-0",
    breaks: "A queue is subscribed to with QoS 0, which nothing settles.",
    rule: "Promise: PUBACK settles a delivery",
    file: SUBSCRIBE,
    find: "if (qos === 0) return ReasonCode.implementationSpecificError;",
    replacement: "",
    tests: [TABLE_TEST],
  },
  {
    name: "puback-settles-nothing",
    breaks: "What a client has acknowledged comes again.",
    rule: "Promise: PUBACK settles a delivery",
    file: "src/broker/queue-subscription.ts",
    find: "this.#queue.deliveries.ack([this.#delivery]);",
    replacement: "",
    tests: [SUBSCRIPTIONS_TEST],
  },
  {
    name: "shared-stream-read",
    breaks: "A stream may be subscribed to as a group, and each member gets everything.",
    rule: "Promise: a topic filter that cannot be kept is refused",
    file: TOPICS,
    find: "if (!plain.startsWith(STREAM_TOPIC) || isShared(topicFilter)) return undefined;",
    replacement: "if (!plain.startsWith(STREAM_TOPIC)) return undefined;",
    tests: [TABLE_TEST],
  },
  {
    name: "stream-start-unchecked",
    breaks: "A stream is read from a time that is none.",
    rule: "Promise: a topic filter that cannot be kept is refused",
    file: TOPICS,
    find: "return Number.isFinite(at) ? { timeAt: at } : undefined;",
    replacement: "return { timeAt: at };",
    tests: [TABLE_TEST],
  },
  {
    name: "native-label-unchecked",
    breaks: "Who may write to a stream or queue may label messages with any topic.",
    rule: "Promise: rules say who publishes where",
    file: "src/native/rights.ts",
    find: "if (topic !== own && !caller.broker.authorizer.isOpen) mustPublish(caller, topic);",
    replacement: "",
    tests: [RIGHTS_TEST],
  },
  {
    name: "native-capture-holds-up",
    breaks: "Who may only read topics may make their publishers be refused.",
    rule: "Promise: rules say who publishes where",
    file: "src/native/rights.ts",
    find: "if (!broker.authorizer.mayPublishAll(principal, clientId, filter)) {",
    replacement: "if (filter === undefined) {",
    tests: [RIGHTS_TEST],
  },
  {
    name: "native-settle-without-right",
    breaks: "Everybody may settle what others have received.",
    rule: "Promise: rules say who receives what",
    file: "src/native/queue-messages.ts",
    find: '  checkBatch(caller, names.length);\n  mustRead(caller, "queue", frame.queue);',
    replacement: "  checkBatch(caller, names.length);",
    tests: [RIGHTS_TEST],
  },
  {
    name: "native-lists-show-all",
    breaks: "Names of queues and streams are told to everybody.",
    rule: "Promise: rules say who receives what",
    file: "src/native/rights.ts",
    find: "broker.authorizer.mayReceive(session.principal, session.clientId, topicOf(kind, name));",
    replacement:
      "broker.authorizer.mayReceive(undefined, session.clientId, topicOf(kind, name)) || true;",
    tests: [RIGHTS_TEST],
  },
];
