import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Destination,
  destinationText,
  NO_ROUTES,
  parseDestinations,
} from "../../../src/broker/destinations.ts";

const routes = new Map<string, readonly Destination[]>([
  [
    "both",
    [
      { kind: "queue", name: "q" },
      { kind: "event", name: "a/b" },
    ],
  ],
]);

function parse(text: string, own?: Destination["kind"]): string {
  const parsed = parseDestinations(text, own, routes);
  return "mistake" in parsed
    ? `! ${parsed.mistake}`
    : parsed.destinations.map(destinationText).join(" ");
}

const CASES: readonly [text: string, own: Destination["kind"] | undefined, expected: string][] = [
  ["a;stream:b;queue:c", "event", "event:a stream:b queue:c"],
  ["a;events:b;events_store:c;queues:d", "queue", "queue:a event:b stream:c queue:d"],
  ["route:both;a", "stream", "queue:q event:a/b stream:a"],
  ["routes:both", undefined, "queue:q event:a/b"],
  ["a;event:a;queue:a;a", "event", "event:a queue:a"],
  ["event:x:y", undefined, "event:x:y"],
  ["event:a b/c", undefined, "event:a b/c"],
  ["a", undefined, "! a: no kind; expected event:, stream:, queue: or route: in front"],
  [
    "evnt:a",
    "event",
    "! evnt: no kind of destination; expected event:, stream:, queue: or route: in front",
  ],
  ["", "event", "! an empty destination"],
  ["a;", "event", "! an empty destination"],
  ["a;;b", "event", "! an empty destination"],
  ["event:a/+", undefined, "! event:a/+: expected a topic without wildcards"],
  ["event:$SYS/x", undefined, "! event:$SYS/x: expected a topic without wildcards"],
  ["event:", undefined, "! event:: expected a topic without wildcards"],
  ["queue:a/b", undefined, "! queue:a/b: expected the name of a queue"],
  ["stream:", undefined, "! stream:: expected the name of a stream"],
  ["stream:$a", undefined, "! stream:$a: expected the name of a stream"],
  ["route:none", "event", "! route:none: no such route"],
];

for (const [text, own, expected] of CASES) {
  test(`"${text}" from ${own ?? "nobody"}: ${expected}.`, () => {
    assert.equal(parse(text, own), expected);
  });
}

test("A message goes to 32 destinations, and not to 33.", () => {
  const names = Array.from({ length: 33 }, (_, i) => `t${i}`);
  assert.equal(parse(names.slice(0, 32).join(";"), "event").split(" ").length, 32);
  assert.equal(parse(names.join(";"), "event"), "! more than 32 destinations");
});

test("A route cannot name a route.", () => {
  const parsed = parseDestinations("route:both", "event", NO_ROUTES);
  assert.deepEqual(parsed, { mistake: "route:both: no such route" });
});
