import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLmdbStore } from "../../../src/store/lmdb-store.ts";
import { describeStore } from "./store-contract.ts";

describeStore("LMDB store", () => {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-store-"));
  return {
    open: (limits) =>
      openLmdbStore({ path: join(folder, "store.mdb"), diskReserveBytes: 0, ...limits }),
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  };
});
