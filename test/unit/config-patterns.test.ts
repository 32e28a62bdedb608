import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Config, ConfigError, loadConfig } from "../../src/config.ts";
import { queueSettings, routingOf, streamSettings } from "../../src/node-options.ts";

function load(t: TestContext, text: string): Config {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-config-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "edge.yaml");
  writeFileSync(file, text);
  return loadConfig({ file });
}

function mistakesOf(t: TestContext, text: string): string[] {
  try {
    load(t, text);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.mistakes.map(({ path, reason }) => `${path}: ${reason}`);
  }
  return [];
}

test("What a queue does not say is that of all queues.", (t) => {
  const config = load(
    t,
    `
queues:
  - { name: jobs, filters: ["jobs/#"], deliveriesMax: 5, deadLetterQueue: dead, visibilityMs: 10s }
patterns: { queueMessagesMax: 77, queueVisibilityMs: 20s }
`,
  );
  const [jobs] = config.queues;
  assert.ok(jobs !== undefined);
  const settings = queueSettings(jobs, config);
  assert.equal(settings.visibilityMs, 10_000);
  assert.equal(settings.messagesMax, 77);
  assert.equal(settings.deliveriesMax, 5);
  assert.equal(settings.deadLetterQueue, "dead");
});

test("Streams of the configuration remember identifiers as long as all others.", (t) => {
  const text = 'streams: [{ name: s, filters: ["s/#"] }]\npatterns: { duplicateWindowMs: 5s }\n';
  const config = load(t, text);
  assert.deepEqual(
    config.streams.map((stream) => streamSettings(stream, config).duplicateWindowMs),
    [5_000],
  );
});

test("Rules may name routes, and routes no routes; each mistake says where it is.", (t) => {
  const routing = routingOf(
    load(
      t,
      `
streams: [{ name: s, filters: ["s/#"] }]
routes: [{ key: both, to: "stream:s;queue:q" }]
rules: [{ filter: "in/#", to: "route:both;copy" }]
`,
    ),
  );
  assert.deepEqual(routing.rules[0]?.to, [
    { kind: "stream", name: "s" },
    { kind: "queue", name: "q" },
    { kind: "event", name: "copy" },
  ]);
  assert.deepEqual(
    mistakesOf(
      t,
      `
queues: [{ name: q }, { name: q, deadLetterQueue: q }]
routes: [{ key: a, to: "route:a" }, { key: a, to: "queue:x/y" }]
rules: [{ filter: "in/#", to: "stream:none" }, { filter: "in/#", to: "route:b" }]
`,
    ),
    [
      'queues[1].name: "q" is there twice',
      'routes[1].key: "a" is there twice',
      "queues[1].deadLetterQueue: a queue is not its own dead letter queue",
      "routes[0].to: route:a: no such route",
      "routes[1].to: queue:x/y: expected the name of a queue",
      "rules[0].to: stream:none: no such stream in the configuration",
      "rules[1].to: route:b: no such route",
    ],
  );
  assert.deepEqual(mistakesOf(t, `rules: [{ filter: "$SYS/#", to: a }]`), [
    "rules[0].filter: expected a topic filter without $ in front",
  ]);
});
