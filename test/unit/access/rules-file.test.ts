import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRules } from "../../../src/access/rules-file.ts";

const TEXT = `
rules:
  - user: ann
    publish: ["plant/%u/#"]
    subscribe: [plant/+/state, "#"]
  - user: "*"
    publish: [all]
  - user: anonymous
    subscribe: [public/#]
`;

test("rules are read with whom they are for", () => {
  assert.deepEqual(parseRules(TEXT, "r.yaml"), [
    {
      subject: { kind: "user", name: "ann" },
      publish: ["plant/%u/#"],
      subscribe: ["plant/+/state", "#"],
    },
    { subject: { kind: "authenticated" }, publish: ["all"], subscribe: [] },
    { subject: { kind: "anonymous" }, publish: [], subscribe: ["public/#"] },
  ]);
});

test("an empty list of rules is one", () => {
  assert.deepEqual(parseRules("rules: []", "r"), []);
});

const DAMAGED: readonly (readonly [text: string, reason: RegExp])[] = [
  ["", /^r: expected settings/],
  ["rules:\n", /^r line 1: expected a list of rules$/],
  ["- user: a", /^r: expected settings/],
  ["rules: [", /^r line \d: not YAML: /],
  ["rules:\n  - user: *\n", /^r line 2: not YAML: /],
  ["rules: []\nmore: 1", /^r: there is no "more" here$/],
  ["rules:\n  - publish: [a]", /^r line 2: expected a user name/],
  ["rules:\n  - user: 42", /^r line 2: expected a user name/],
  ["rules:\n  - user: ''", /^r line 2: a user name has/],
  ["rules:\n  - user: a\n    deny: [b]", /^r line 2: there is no "deny" here$/],
  ["rules:\n  - user: a\n    publish: b", /^r line 3: expected a list of topic filters$/],
  [
    "rules:\n  - user: a\n    publish:\n      - ok\n      - a/#/b",
    /^r line 5: not a topic filter$/,
  ],
  ["rules:\n  - user: a\n    publish: ['%x']", /^r line 3: % is followed by u, c or %$/],
  ["rules:\n  - user: a\n    subscribe: ['$share/g/a']", /^r line 3: a rule names topics/],
  [
    `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [${"*a,".repeat(9)}]\nc: &c [${"*b,".repeat(9)}]\nrules: [${"*c,".repeat(9)}]`,
    /^r: /,
  ],
];

for (const [text, reason] of DAMAGED) {
  test(`damage is told in one line: ${reason.source}`, () => {
    assert.throws(
      () => parseRules(text, "r"),
      (error: Error & { code?: string }) =>
        error.code === "rules-file-damaged" &&
        reason.test(error.message) &&
        !error.message.includes("\n"),
    );
  });
}
