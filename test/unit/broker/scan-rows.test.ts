import assert from "node:assert/strict";
import { test } from "node:test";
import { scanRows } from "../../../src/broker/scan-rows.ts";
import { MemoryDisk, MemoryStore } from "../../../src/store/memory-store.ts";

const PREFIX = Uint8Array.of(0x70);

function storeWith(rows: number): MemoryStore {
  const store = new MemoryStore(new MemoryDisk(), { flushes: "manual" });
  store.listen({ onSealing() {}, onFlushed() {}, onFailed() {} });
  for (let i = 0; i < rows; i++) {
    store.put("meta", Uint8Array.of(0x70, i >> 8, i & 0xff), Uint8Array.of(i & 0xff));
  }
  // Its neighbours are not meant.
  store.put("meta", Uint8Array.of(0x6f, 0xff), Uint8Array.of(1));
  store.put("meta", Uint8Array.of(0x71), Uint8Array.of(1));
  store.flush();
  return store;
}

test("All rows under a prefix come once and in order, whatever their number and the size of a page.", () => {
  for (const rowsMax of [2, 3, 16, 17, 500]) {
    for (const rows of [0, 1, 2, 15, 16, 17, 80, 81, 1_000]) {
      const numbers = [...scanRows(storeWith(rows), PREFIX, rowsMax)].map(
        ([key]) => ((key[1] ?? 0) << 8) | (key[2] ?? 0),
      );
      assert.deepEqual(numbers, [...Array(rows).keys()], `${rows} rows, pages of ${rowsMax}`);
    }
  }
});

test("Who stops early has read little.", () => {
  const store = storeWith(1_000);
  const limits: (number | undefined)[] = [];
  const scan = store.scan.bind(store);
  store.scan = (table, prefix, from, limit) => {
    limits.push(limit);
    return scan(table, prefix, from, limit);
  };
  for (const [key] of scanRows(store, PREFIX, 500)) if (key[2] === 3) break;
  assert.deepEqual(limits, [16]);
});
