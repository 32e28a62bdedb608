import type { LedgerView } from "./ledger.ts";
import type { SinkRecord } from "./sink-check.ts";

/** How the sink is falsified to prove that the check would notice. */
export type Sabotage = "drop" | "double";

/**
 * A falsified copy of what the centre holds. `drop` takes away every arrival of one acknowledged message;
 * `double` adds one record a second time, right behind itself. The victim lies in the middle of the list.
 * @throws Error when there is no record that could serve.
 */
export function falsify(
  records: readonly SinkRecord[],
  ledgers: readonly LedgerView[],
  sabotage: Sabotage,
): SinkRecord[] {
  const byDevice = new Map(ledgers.map((ledger) => [ledger.device, ledger]));
  const isPromised = (record: SinkRecord): boolean =>
    byDevice.get(record.device)?.acknowledged.has(record.seq) === true;
  const middle = Math.floor(records.length / 2);
  const victim = records.slice(middle).find(isPromised) ?? records.find(isPromised);
  if (victim === undefined) throw new Error("nothing to falsify: no acknowledged record arrived");
  if (sabotage === "drop") {
    return records.filter((one) => one.device !== victim.device || one.seq !== victim.seq);
  }
  const falsified = [...records];
  falsified.splice(falsified.indexOf(victim) + 1, 0, victim);
  return falsified;
}
