import assert from "node:assert/strict";
import { test } from "node:test";
import { ProgressLine } from "../../../firmware-sim/progress-line.ts";
import { alignColumns, grouped } from "../../../firmware-sim/table.ts";

class Recorder {
  readonly isTTY: boolean;
  readonly columns = 20;
  text = "";

  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }

  write(text: string): void {
    this.text += text;
  }
}

test("beside a terminal the line is printed every two seconds and once more at the end", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const sink = new Recorder(false);
  let count = 0;
  const line = new ProgressLine(sink, () => `line ${++count}`);
  line.start();
  t.mock.timers.tick(4_000);
  line.print("kept");
  line.stop();
  line.stop();
  assert.equal(sink.text, "line 1\nline 2\nkept\nline 3\n");
});

test("on a terminal the line is rewritten in place and cut to the width", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const sink = new Recorder(true);
  const line = new ProgressLine(sink, () => "x".repeat(50));
  line.start();
  t.mock.timers.tick(100);
  assert.equal(sink.text, `\r\u001b[2K${"x".repeat(19)}`);
  line.stop();
  assert.ok(sink.text.endsWith("\n"));
});

test("numbers are grouped by thousands", () => {
  assert.deepEqual([0, 999, 1_000, 12_345_678].map(grouped), ["0", "999", "1,000", "12,345,678"]);
});

test("columns are aligned: names left, numbers right, text as it is", () => {
  const rows = [
    ["lost", "0", "none"],
    ["published", "10,000", "a longer text"],
  ];
  assert.deepEqual(alignColumns(rows), [
    "lost            0  none",
    "published  10,000  a longer text",
  ]);
});
