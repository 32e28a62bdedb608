/** Durable consumers and requests broken on purpose: their models (test/property) have to notice. */
import type { Mutant } from "./mutant.ts";

const CONSUMER_MODEL = "test/property/consumer-model.test.ts";
const CONSUMER_TEST = "test/unit/broker/consumer.test.ts";
const REQUEST_MODEL = "test/property/request-model.test.ts";
const REQUESTS = "src/broker/requests.ts";
const REPLY_CACHE = "src/broker/reply-cache.ts";

export const CONSUMER_MUTANTS: readonly Mutant[] = [
  {
    name: "consumer-one-more-unacknowledged",
    breaks: "One record more than allowed is unacknowledged at a time.",
    rule: "Bound: unackedMax of a durable consumer",
    file: "src/broker/deliveries.ts",
    find: "while (this.inHands < this.inHandsMax) {",
    replacement: "while (this.inHands <= this.inHandsMax) {",
    tests: [CONSUMER_MODEL],
  },
  {
    name: "consumer-one-delivery-too-many",
    breaks: "A record is given up one delivery too late.",
    rule: "Promise: after deliveriesMax deliveries a record is a dead letter",
    file: "src/broker/given-up-records.ts",
    find: "return max > 0 && entry.count >= max;",
    replacement: "return max > 0 && entry.count > max;",
    tests: [CONSUMER_MODEL],
  },
  {
    name: "consumer-settles-others-delivery",
    breaks: "Who had a record before settles it although somebody else has it by now.",
    rule: "Promise: a delivery may be settled until the record is handed to somebody else",
    file: "src/broker/deliveries.ts",
    find: "if (entry === undefined || entry.count !== delivery - sequence * NAME_FACTOR) {",
    replacement: "if (entry === undefined) {",
    tests: [CONSUMER_TEST],
  },
  {
    name: "stream-trimmed-behind-fastest",
    breaks: "A stream lets go behind the fastest of its consumers.",
    rule: "Promise: a stream is trimmed behind the slowest of its durable consumers",
    file: "src/broker/consumers.ts",
    find: "if (needed === undefined || deliveries.floor < needed)",
    replacement: "if (needed === undefined || deliveries.floor > needed)",
    tests: [CONSUMER_MODEL],
  },
  {
    name: "consumer-time-off-ignored",
    breaks: "Time spent off that is learned later does not count against the time to acknowledge.",
    rule: "Promise: delay and visibility count time spent off",
    file: "src/broker/consumers.ts",
    find: "for (const { deliveries } of consumers.values()) deliveries.onAged();",
    replacement: "for (const { deliveries } of consumers.values()) void deliveries;",
    tests: [CONSUMER_TEST],
  },
  {
    name: "new-begins-before-accepted",
    breaks: "A consumer that begins with what is new gets what was accepted before.",
    rule: "Promise: new begins with what comes from now on",
    file: "src/broker/start-position.ts",
    find: "return store.nextSequence(log);",
    replacement: "return nextSequence;",
    tests: [CONSUMER_MODEL],
  },
];

export const REQUEST_MUTANTS: readonly Mutant[] = [
  {
    name: "reply-taken-twice",
    breaks: "A request stays after its answer: a second reply is taken, too.",
    rule: "Promise: one reply or one error before the deadline",
    file: REQUESTS,
    find: "if (!this.#byToken.delete(token)) return false;",
    replacement: "this.#byToken.get(token);",
    tests: [REQUEST_MODEL],
  },
  {
    name: "reply-cache-for-all-users",
    breaks: "A cached reply is for every user.",
    rule: "Promise: cached replies are the user's own",
    file: REPLY_CACHE,
    find: "JSON.stringify([principal ?? null, topic, key])",
    replacement: "JSON.stringify([null, topic, key])",
    tests: [REQUEST_MODEL],
  },
  {
    name: "reply-cache-one-moment-too-long",
    breaks: "A cached reply is given at the moment at which its time is over.",
    rule: "Promise: a cached reply is given until its time to live is over",
    file: REPLY_CACHE,
    find: "if (entry.until <= this.#clock.now()) return undefined;",
    replacement: "if (entry.until < this.#clock.now()) return undefined;",
    tests: [REQUEST_MODEL],
  },
  {
    name: "reply-cache-oldest-first",
    breaks: "A full cache drops what was kept first, however lately it was asked for.",
    rule: "Bound: patterns.replyCacheBytesMax, what was not asked for the longest goes first",
    file: REPLY_CACHE,
    find: "    this.#remove(name, entry);\n    if (entry.until <= this.#clock.now()) return undefined;\n    this.#add(name, entry);",
    replacement:
      "    if (entry.until <= this.#clock.now()) {\n      this.#remove(name, entry);\n      return undefined;\n    }",
    tests: [REQUEST_MODEL],
  },
  {
    name: "request-bound-per-client-ignored",
    breaks: "A requester has one request more under way than it may.",
    rule: "Bound: patterns.requestsPerClientMax",
    file: REQUESTS,
    find: "own < limits.requestsPerClientMax",
    replacement: "own <= limits.requestsPerClientMax",
    tests: [REQUEST_MODEL],
  },
  {
    name: "request-deadline-unbounded",
    breaks: "A request waits as long as its requester likes.",
    rule: "Bound: patterns.requestTimeoutMaxMs",
    file: REQUESTS,
    find: "Math.min(options.timeoutMs, this.#context.limits.timeoutMaxMs)",
    replacement: "options.timeoutMs",
    tests: [REQUEST_MODEL],
  },
  {
    name: "gone-requester-counts",
    breaks: "What a requester that is gone has asked goes on waiting.",
    rule: "Promise: nothing survives the end of the requester",
    file: REQUESTS,
    find: "for (const pending of [...(this.#byRequester.get(requester) ?? [])]) this.#leave(pending);",
    replacement: "void requester;",
    tests: [REQUEST_MODEL],
  },
];
