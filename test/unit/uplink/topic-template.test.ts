import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TopicTemplate, templateMistake } from "../../../src/uplink/topic-template.ts";

const names = { edgeId: "plant-7", uplink: "centre", stream: "telemetry" };
const apply = (template: string, topic: string): string | undefined =>
  new TopicTemplate(template, names).apply(topic);

test("names, the topic, one level and the rest of the levels are filled in", () => {
  assert.equal(apply("edge/{edgeId}/{topic}", "a/b/c"), "edge/plant-7/a/b/c");
  assert.equal(apply("{uplink}/{stream}/{level:2}", "a/b/c"), "centre/telemetry/b");
  assert.equal(apply("{level:3}-{level:1}", "a/b/c"), "c-a");
  assert.equal(apply("x/{levels:2}", "a/b/c"), "x/b/c");
  assert.equal(apply("{levels:3}/y", "a/b/"), "/y");
  assert.equal(apply("fixed", "a"), "fixed");
});

test("a topic that lacks a level the template names has no topic at the remote", () => {
  assert.equal(apply("x/{level:3}", "a/b"), undefined);
  assert.equal(apply("x/{levels:3}", "a/b"), undefined);
});

test("a topic is taken as it is, whatever braces it holds", () => {
  assert.equal(apply("x/{topic}", "{edgeId}/{level:9}"), "x/{edgeId}/{level:9}");
});

test("mistakes are found, and the constructor refuses them", () => {
  const mistakes: [string, RegExp][] = [
    ["", /empty/],
    ["a/+", /wildcards/],
    ["{topic}/#", /wildcards/],
    ["{topic", /brace/],
    ["topic}", /brace/],
    ["{}", /\{\} is unknown/],
    ["{level:0}", /unknown/],
    ["{payload}", /\{payload\} is unknown/],
    ["$SYS/{topic}", /starts with \$/],
  ];
  for (const [template, reason] of mistakes) {
    assert.match(templateMistake(template) ?? "", reason, template);
    assert.throws(() => new TopicTemplate(template, names), RangeError);
  }
});

test("with the whole topic in it, different topics stay different", () => {
  const level = fc.string({ maxLength: 4 }).map((text) => text.replace(/[+#\0/]/g, "x"));
  const topic = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join("/"));
  fc.assert(
    fc.property(topic, topic, (one, other) => {
      for (const template of ["e/{topic}", "{topic}/{edgeId}", "a{levels:1}b"]) {
        assert.equal(apply(template, one) === apply(template, other), one === other);
      }
    }),
  );
});
