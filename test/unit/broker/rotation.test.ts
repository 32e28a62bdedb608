import assert from "node:assert/strict";
import { test } from "node:test";
import { Rotation } from "../../../src/broker/rotation.ts";

interface Item {
  readonly name: string;
  load: number;
}

const loadOf = ({ load }: Item): number => load;

function rotationOf(...loads: number[]): { rotation: Rotation<Item>; items: Item[] } {
  const rotation = new Rotation<Item>();
  const items = loads.map((load, index) => ({ name: String(index), load }));
  for (const item of items) rotation.add(item);
  return { rotation, items };
}

const turns = (rotation: Rotation<Item>, count: number): string =>
  Array.from({ length: count }, () => rotation.choose(loadOf)?.name ?? "-").join("");

test("Equals take turns, also after one has come or gone.", () => {
  const { rotation, items } = rotationOf(0, 0, 0);
  assert.equal(turns(rotation, 5), "01201");
  rotation.remove(items[0] as Item);
  assert.equal(turns(rotation, 4), "2121");
  rotation.add({ name: "x", load: 0 });
  assert.equal(turns(rotation, 4), "2x12");
  assert.equal(rotation.size, 3);
});

test("The least loaded goes first; one that is not ready never.", () => {
  const { rotation, items } = rotationOf(3, -1, 1, 2);
  assert.equal(turns(rotation, 3), "222");
  (items[2] as Item).load = -1;
  assert.equal(turns(rotation, 2), "33");
  for (const item of items) item.load = -1;
  assert.equal(turns(rotation, 2), "--");
});

test("An item is added once and removed once, and nobody is chosen of nobody.", () => {
  const { rotation, items } = rotationOf(0);
  rotation.add(items[0] as Item);
  assert.equal(rotation.size, 1);
  rotation.remove(items[0] as Item);
  rotation.remove(items[0] as Item);
  assert.equal(rotation.choose(loadOf), undefined);
});

test("Of hundreds that are ready a few are looked at, and all take turns; of hundreds that are not the one that is is found.", () => {
  const { rotation, items } = rotationOf(...new Array<number>(300).fill(0));
  let looks = 0;
  const chosen = new Set<string | undefined>();
  for (let i = 0; i < 300; i++) {
    const item = rotation.choose(({ load }) => {
      looks++;
      return load;
    });
    chosen.add(item?.name);
  }
  assert.equal(chosen.size, 300);
  assert.ok(looks <= 300 * 16, `${looks} looks`);
  for (const item of items) item.load = item.name === "207" ? 5 : -1;
  assert.equal(rotation.choose(loadOf)?.name, "207");
});
