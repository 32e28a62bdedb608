import { describe, test } from "node:test";
import { COMMIT_CONTRACT, LOG_CONTRACT } from "./log-contract.ts";
import type { Contract, StorePlace } from "./store-fixtures.ts";
import { REFUSAL_CONTRACT, TABLE_CONTRACT, TRIM_CONTRACT } from "./table-contract.ts";

const CONTRACTS: Readonly<Record<string, Contract>> = {
  logs: LOG_CONTRACT,
  commits: COMMIT_CONTRACT,
  "small records": TABLE_CONTRACT,
  trimming: TRIM_CONTRACT,
  refusal: REFUSAL_CONTRACT,
};

/** Runs the contract that every store must keep, each sentence in a place of its own. */
export function describeStore(name: string, makePlace: () => StorePlace): void {
  for (const [part, contract] of Object.entries(CONTRACTS)) {
    describe(`${name}: ${part}`, () => {
      for (const [title, run] of Object.entries(contract)) {
        test(title, async () => {
          const place = makePlace();
          try {
            await run(place);
          } finally {
            place.dispose();
          }
        });
      }
    });
  }
}
