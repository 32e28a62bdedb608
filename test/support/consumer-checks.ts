/** What clients got of a durable consumer, and what the broker shows of it, against the model. */
import assert from "node:assert/strict";
import type { Broker } from "../../src/broker/broker.ts";
import type { ConsumerModel } from "./consumer-model.ts";
import type { ModelDelivery } from "./consumer-model-state.ts";
import { type NativeClient, textOf } from "./native-client.ts";

/** What one client got since the last look: it is taken away from what the model says. `keyOf`: the sub of the model. */
export function checkFrames(
  model: ConsumerModel,
  native: NativeClient,
  keyOf: (sub: number) => number,
): void {
  for (const { sub, records, lost = [] } of native.takeAll("records")) {
    const key = keyOf(sub);
    for (const [from, to] of lost) remove(model.lost, `${key} ${from}..${to}`);
    for (const { sequence, deliveryCount = 0, payload, topic } of records) {
      checkDelivery(model, key, { sequence, count: deliveryCount });
      const record = model.state.records.find((one) => one.sequence === sequence);
      assert.deepEqual([textOf(payload), topic], [record?.text, record?.topic]);
    }
  }
  for (const { sub } of native.takeAll("ended")) {
    const key = keyOf(sub);
    const index = model.ended.findIndex((one) => one.key === key);
    assert.ok(index >= 0, `sub ${key} has ended`);
    model.ended.splice(index, 1);
  }
}

function checkDelivery(
  model: ConsumerModel,
  key: number,
  { sequence, count }: ModelDelivery,
): void {
  const { subs, ended, handed, consumers } = model;
  const sub = subs.get(key) ?? ended.find((one) => one.key === key);
  const consumer = consumers.find((one) => one.key === sub?.consumer);
  assert.ok(sub !== undefined && consumer !== undefined, "handed to somebody who is gone");
  const expected = handed.get(consumer.key) ?? [];
  const index = expected.findIndex((one) => one.sequence === sequence && one.count === count);
  const text = `record ${sequence} for the ${count}. time, not one of ${JSON.stringify(expected)}`;
  assert.ok(index >= 0, text);
  expected.splice(index, 1);
  assert.ok(sub.credit-- > 0, "more than its credit");
  sub.delivered.delete(sequence);
  sub.delivered.set(sequence, count);
  const entry = consumer.entries.get(sequence);
  if (entry?.count === count && entry.holder !== undefined) entry.holder = key;
}

/** What the broker shows of its consumers is what the model has. */
export function checkConsumers(
  { streams, consumers }: Broker,
  model: ConsumerModel,
  streamName: string,
): void {
  const stream = streams.get(streamName);
  assert.ok(stream !== undefined);
  const shown = [...consumers.of(stream)].map(({ name, deliveries, holders }) => {
    const { floor, size, inHands } = deliveries;
    return { name, floor, unsettled: size, unacked: inHands, members: holders.size };
  });
  const expected = model.consumers.map((one) => ({
    name: one.name,
    floor: one.floor,
    unsettled: model.unsettledOf(one),
    unacked: model.unackedOf(one),
    members: model.subsOf(one).length,
  }));
  assert.deepEqual(shown.sort(byName), expected.sort(byName));
}

const byName = (a: { name: string }, b: { name: string }): number => a.name.localeCompare(b.name);

/** It must be there. */
function remove<T>(list: T[], item: T): void {
  const index = list.indexOf(item);
  assert.ok(index >= 0, `${item} was not expected, but ${JSON.stringify(list)}`);
  list.splice(index, 1);
}
