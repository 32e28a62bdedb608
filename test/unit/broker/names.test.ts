import assert from "node:assert/strict";
import { test } from "node:test";
import { isName, NAME_BYTES_MAX } from "../../../src/broker/names.ts";
import { VirtualNode } from "../../support/virtual-node.ts";

const LONGEST = "é".repeat(NAME_BYTES_MAX / 2);

for (const [what, name, isFine] of [
  ["as many bytes as there may be, in letters of two bytes", LONGEST, true],
  ["one byte more", `${LONGEST}a`, false],
  ["as many letters, of three bytes", "€".repeat(NAME_BYTES_MAX), false],
  ["no letter", "", false],
  ["$ in front", "$a", false],
  ["$ inside", "a$", true],
  ["a level of a topic more", "a/b", false],
  ["a wildcard", "a+", false],
  ["a separator of destinations", "a;b", false],
  ["a control character", "a\u0000", false],
  ["one of the second block of control characters", "a\u0085", false],
  ["half a surrogate pair", "a\ud800", false],
  ["a whole surrogate pair", "a😀", true],
  ["a space", "a b", true],
] as const) {
  test(`A name with ${what} is ${isFine ? "one" : "none"}, in frames, topics and routes.`, () => {
    assert.equal(isName(name), isFine);
    // Half a pair does not get through an encoding as it is.
    if (/\p{Cs}/u.test(name)) return;
    const node = new VirtualNode({ connection: { allowsPatternTopics: true } });
    const client = node.native("native");
    const created = client.ask({ op: "queue.create", queue: name });
    assert.equal(created.op === "ok", isFine);
    // Nor control characters through MQTT.
    if (/\p{Cc}/u.test(name)) return;
    const routed = client.ask({ op: "route", to: `queue:${name}` });
    assert.equal(routed.op === "ok", isFine, JSON.stringify(routed));
    const device = node.connect("device");
    device.take();
    device.publish(`$queue/${name}`, "x", { qos: 1, packetId: 1 });
    assert.equal(node.broker.queues.get(name) !== undefined, isFine);
  });
}
