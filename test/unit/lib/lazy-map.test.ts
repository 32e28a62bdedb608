import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LazyMap } from "../../../src/lib/lazy-map.ts";

test("A lazy map is a map.", () => {
  const step = fc.record({ isSet: fc.boolean(), key: fc.nat(5), value: fc.nat() });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const lazy = new LazyMap<number, number>();
      const map = new Map<number, number>();
      for (const { isSet, key, value } of steps) {
        assert.equal(lazy.has(key), map.has(key));
        assert.equal(lazy.get(key), map.get(key));
        if (isSet) {
          lazy.set(key, value);
          map.set(key, value);
        } else {
          assert.equal(lazy.delete(key), map.delete(key));
        }
        assert.equal(lazy.size, map.size);
        assert.deepEqual([...lazy], [...map]);
        assert.deepEqual([...lazy.keys()], [...map.keys()]);
        assert.deepEqual([...lazy.values()], [...map.values()]);
      }
    }),
  );
});
