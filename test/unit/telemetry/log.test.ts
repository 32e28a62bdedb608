import assert from "node:assert/strict";
import { test } from "node:test";
import { createLog, type LogLevel } from "../../../src/telemetry/log.ts";
import { utcText } from "../../../src/telemetry/utc-text.ts";

function logged(level: LogLevel): {
  readonly log: ReturnType<typeof createLog>;
  readonly lines: Record<string, unknown>[];
} {
  const lines: Record<string, unknown>[] = [];
  const log = createLog(level, {
    write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>),
  });
  return { log, lines };
}

test("an entry is a JSON line with level, time, event and fields, written at once", () => {
  const { log, lines } = logged("info");
  log("info", "listening", { url: "mqtt://127.0.0.1:1883" });
  const [line] = lines;
  assert.deepEqual(Object.keys(line ?? {}), ["level", "time", "url", "event"]);
  assert.equal(line?.["level"], "info");
  assert.equal(line["event"], "listening");
  assert.match(String(line["time"]), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
});

test("entries below the level are dropped", () => {
  const { log, lines } = logged("warn");
  for (const level of ["debug", "info", "warn", "error"] as const) log(level, level);
  assert.deepEqual(
    lines.map((line) => line["event"]),
    ["warn", "error"],
  );
});

test("an error is shown by name, message and code, a text as it is", () => {
  const { log, lines } = logged("info");
  log("warn", "uplink failed", { error: Object.assign(new Error("no route"), { code: "EHOST" }) });
  log("warn", "uplink failed", { error: "no route" });
  assert.deepEqual(lines[0]?.["error"], { name: "Error", message: "no route", code: "EHOST" });
  assert.equal(lines[1]?.["error"], "no route");
});

test("the time of an entry is that of Date.toISOString", () => {
  for (const ms of [0, 951_782_399_999, 1_700_000_000_005, 253_402_300_799_999]) {
    assert.equal(utcText(ms), new Date(ms).toISOString());
  }
});
