/** The messaging patterns, as the simulation of a whole node sees them. */
import type { Mutant } from "./mutant.ts";

const SIMULATION = "test/property/simulation.test.ts";
const REQUESTS = "src/broker/requests.ts";
const ROUTING = "src/broker/routing.ts";
const CONNECTION = "src/native/connection.ts";
const EVENTS = "src/native/events.ts";

export const SIMULATION_MUTANTS: readonly Mutant[] = [
  {
    name: "native-answer-before-flush",
    breaks: "Native clients get their answers before what they acknowledge is on disk.",
    rule: "Promise: answers that mean on disk leave when it is so",
    file: CONNECTION,
    find: "this.#acks.push(commit, { id, result, frame: undefined, then });",
    replacement:
      "this.#acks.push(this.#broker.store.flushedCommit, { id, result, frame: undefined, then });",
    tests: [SIMULATION],
  },
  {
    name: "native-ended-too-early",
    breaks: "A native client that was asked and may still answer is ended.",
    rule: "Promise: pings",
    file: CONNECTION,
    find: "else if (now >= after(this.#lastReceivedAt, 2 * idleMs)) {",
    replacement: "else if (now >= after(this.#lastReceivedAt, idleMs)) {",
    tests: [SIMULATION],
  },
  {
    name: "event-without-credit",
    breaks: "Events come without credit.",
    rule: "Promise: subs and credit",
    file: EVENTS,
    find: "if (this.credit <= 0 || !this.#caller.hasRoom) {",
    replacement: "if (!this.#caller.hasRoom) {",
    tests: [SIMULATION],
  },
  {
    name: "event-twice",
    breaks: "An event comes twice to native subs.",
    rule: "Promise: at most once",
    file: EVENTS,
    find: "    this.#send(message, retained);",
    replacement: "    this.#send(message, retained);\n    this.#send(message, retained);",
    tests: [SIMULATION],
  },
  {
    name: "event-drop-not-told",
    breaks: "One event that is dropped is not told.",
    rule: "Promise: how many is told",
    file: EVENTS,
    find: "    this.dropped++;",
    replacement: "    if (this.dropped > 0) this.dropped++;\n    else this.dropped = 2;",
    tests: [SIMULATION],
  },
  {
    name: "group-events-without-credit",
    breaks: "In a group an event goes to a member without credit, although another one has some.",
    rule: "Promise: one member of each group, one that has credit",
    file: "src/broker/shared-subscription.ts",
    find: "return subscriber.hasCredit?.(subscriptionIds) === false ? -1 : outbound.inflightSize;",
    replacement: "return subscriptionIds === undefined ? -1 : outbound.inflightSize;",
    tests: [SIMULATION],
  },
  {
    name: "request-two-outcomes",
    breaks: "A request that was answered times out as well.",
    rule: "Promise: one reply or one error",
    file: REQUESTS,
    find: "    this.#leave(pending);\n    this.#context.counts.reply.countIn(said);",
    replacement: "    this.#context.counts.reply.countIn(said);",
    tests: [SIMULATION],
  },
  {
    name: "request-deadline-doubled",
    breaks: "A request waits twice as long as it said.",
    rule: "Promise: timeout",
    file: REQUESTS,
    find: "const timeoutMs = Math.min(options.timeoutMs, this.#context.limits.timeoutMaxMs);",
    replacement:
      "const timeoutMs = Math.min(2 * options.timeoutMs, this.#context.limits.timeoutMaxMs);",
    tests: [SIMULATION],
  },
  {
    name: "request-to-nobody-waits",
    breaks: "A request that nobody can answer is told so at its deadline only.",
    rule: "Promise: no-responder at once",
    file: REQUESTS,
    find: "if (taken > 0 || !this.#leave(pending)) return;",
    replacement: "if (taken !== 0 || !this.#leave(pending)) return;",
    tests: [SIMULATION],
  },
  {
    name: "cached-reply-for-ever",
    breaks: "A cached reply is the answer beyond its time to live.",
    rule: "Promise: cacheTtlMs",
    file: "src/broker/reply-cache.ts",
    find: "if (entry.until <= this.#clock.now()) return undefined;",
    replacement: "",
    tests: [SIMULATION],
  },
  {
    name: "route-in-part",
    breaks: "Some messages to several destinations come to the first of them only.",
    rule: "Promise: all of it is one commit, or nothing",
    file: ROUTING,
    find: 'if (one.kind === "event") continue;',
    replacement:
      'if (one.kind === "event" || (parts.size > 0 && message.payloadEnd % 4 === 0)) continue;',
    tests: [SIMULATION],
  },
  {
    name: "route-answered-too-early",
    breaks: "A message to several destinations is answered before it is on disk.",
    rule: "Promise: route",
    file: ROUTING,
    find: "if (kept.commit > commit) commit = kept.commit;",
    replacement: "",
    tests: [SIMULATION],
  },
  {
    name: "cursor-skips",
    breaks: "A cursor leaves a record out where it reads on.",
    rule: "Promise: consume",
    file: "src/native/cursor-sub.ts",
    find: "this.#next = batch.next;",
    replacement: "this.#next = batch.next + 1;",
    tests: [SIMULATION],
  },
  {
    name: "long-poll-too-long",
    breaks: "A long poll waits longer than it said.",
    rule: "Promise: receive",
    file: "src/native/queue-receivers.ts",
    find: "const until = after(broker.clock.now(), Math.max(waitMs, leastMs));",
    replacement: "const until = after(broker.clock.now(), 20 + Math.max(waitMs, leastMs));",
    tests: [SIMULATION],
  },
  {
    name: "append-duplicates-kept",
    breaks: "An append that is sent again with its identifiers is appended again.",
    rule: "Promise: append",
    file: "src/broker/stream.ts",
    find: "const known = messageId === undefined ? undefined : this.duplicates.find(messageId, now);",
    replacement: 'const known = this.duplicates.find("none", now);',
    tests: [SIMULATION],
  },
];
