import assert from "node:assert/strict";
import { test } from "node:test";
import { CommandInbox } from "../../../firmware-sim/command-inbox.ts";

test("a command is carried out once however often it arrives", () => {
  const inbox = new CommandInbox("valve-1");
  for (let i = 0; i < 3; i++) inbox.receive("cmd/valve-1/r-1", {});
  assert.equal(inbox.received, 1);
  assert.equal(inbox.repeated, 2);
  assert.equal(inbox.nextAnswer()?.requestId, "r-1");
  assert.equal(inbox.nextAnswer(), undefined);
});

test("without a response topic the answer goes where the convention says", () => {
  const inbox = new CommandInbox("valve-1");
  inbox.receive("cmd/valve-1/r-1", { properties: { correlationData: Buffer.from("x") } });
  const answer = inbox.nextAnswer();
  assert.equal(answer?.topic, "reply/valve-1/r-1");
  assert.equal(answer?.correlationData, undefined);
  assert.deepEqual(JSON.parse(answer?.payload ?? ""), {
    device: "valve-1",
    requestId: "r-1",
    isDone: true,
  });
});

test("with a response topic the answer goes there and has the correlation data", () => {
  const inbox = new CommandInbox("valve-1");
  const correlationData = Buffer.from([0, 255, 7]);
  inbox.receive("cmd/valve-1/r-1", {
    properties: { responseTopic: "here/please", correlationData },
  });
  const answer = inbox.nextAnswer();
  assert.equal(answer?.topic, "here/please");
  assert.deepEqual(answer?.correlationData, correlationData);
});

test("what is not a command to this device is left alone", () => {
  const inbox = new CommandInbox("valve-1");
  for (const topic of [
    "cmd/valve-2/r-1",
    "cmd/valve-1",
    "cmd/valve-1/",
    "cmd/valve-1/a/b",
    "x/valve-1/r-1",
  ]) {
    inbox.receive(topic, {});
  }
  assert.equal(inbox.received, 0);
  assert.equal(inbox.hasAnswers, false);
});

test("an answer that is given back is the next one again", () => {
  const inbox = new CommandInbox("valve-1");
  inbox.receive("cmd/valve-1/r-1", {});
  inbox.receive("cmd/valve-1/r-2", {});
  const first = inbox.nextAnswer();
  assert.ok(first);
  inbox.giveBack(first);
  assert.deepEqual([inbox.nextAnswer()?.requestId, inbox.nextAnswer()?.requestId], ["r-1", "r-2"]);
});
