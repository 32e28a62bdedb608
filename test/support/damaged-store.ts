/** A store with a bit of everything, what must be in it, and ways to damage its file. */
import assert from "node:assert/strict";
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { encodeMessageRecord } from "../../src/broker/message-record.ts";
import {
  encodeReferences,
  receivedKey,
  referencesKey,
  sentKey,
  sessionKey,
} from "../../src/broker/session-records.ts";
import type { LogId, Ordinal, Sequence, Store } from "../../src/broker/store.ts";
import { openLmdbStore } from "../../src/store/lmdb-store.ts";
import type { SalvageReport } from "../../src/store/salvage/salvage-report.ts";
import { randomOf } from "../torture/power-cut/random.ts";
import { messageOf, payloadOf } from "../unit/store/store-fixtures.ts";

const PAGE_BYTES = 4_096;
const ROWS_PER_COMMIT = 6;
const LOG_NAMES = ["telemetry", "alarms", "tiny"];
const RECORD_BYTES = [20, 60, 200, 900, 3_000];

/** What was acknowledged. */
export interface StoreLedger {
  /** By log: payload by sequence, from the trim mark on. */
  readonly logs: ReadonlyMap<string, ReadonlyMap<number, string>>;
  readonly meta: ReadonlyMap<string, string>;
  readonly retained: ReadonlyMap<string, string>;
  readonly lastOrdinal: number;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

class Filler {
  readonly #store: Store;
  readonly #random: (below: number) => number;
  readonly #logIds: readonly (readonly [string, LogId])[];
  readonly logs = new Map<string, Map<number, string>>();
  readonly small = { meta: new Map<string, string>(), retained: new Map<string, string>() };
  lastOrdinal = 0;

  constructor(store: Store, random: (below: number) => number) {
    this.#store = store;
    this.#random = random;
    this.#logIds = LOG_NAMES.map((name) => [name, store.openLog(name)]);
    for (const name of LOG_NAMES) this.logs.set(name, new Map());
  }

  async commit(commit: number): Promise<void> {
    const appended = this.#logIds.flatMap(([name, id]) => this.#append(commit, name, id));
    this.#changeSession(commit);
    this.#changeRetained(commit);
    if (commit % 40 === 39) {
      trimSome(this.#store, 1 as LogId, this.logs.get("telemetry"));
    }
    await this.#store.drain();
    for (const { name, payload, record } of appended) {
      this.logs.get(name)?.set(record.sequence, payload);
      this.lastOrdinal = Math.max(this.lastOrdinal, record.ordinal);
    }
  }

  #append(commit: number, name: string, id: LogId) {
    const random = this.#random;
    if (random(3) === 0) return [];
    const count = name === "tiny" ? 1 : 1 + random(random(8) === 0 ? 200 : 8);
    return Array.from({ length: count }, (_, i) => {
      const payload = `${name}/${commit}/${i}/`.padEnd(RECORD_BYTES[random(5)] ?? 20, "x");
      return { name, payload, record: this.#store.append(id, messageOf(`plant/${name}`, payload)) };
    });
  }

  #changeSession(commit: number): void {
    const random = this.#random;
    const session = 1 + random(40);
    const client = new TextEncoder().encode(
      JSON.stringify({
        version: 2,
        number: session,
        expiryMs: null,
        detachedAt: commit,
      }),
    );
    this.#put("meta", sessionKey(`client-${session}`), client);
    const reference = {
      log: 1 as LogId,
      sequence: commit as Sequence,
      ordinal: commit as Ordinal,
      qos: 1 as const,
      retain: false,
      subscriptionIds: undefined,
      sent: 0,
      packetId: 0,
    };
    const owed = encodeReferences([reference], { bytes: 20, latestAt: 1, isSpilled: false });
    this.#put("meta", referencesKey(session, commit), owed);
    this.#put("meta", sentKey(session, commit), Uint8Array.of(1, 0, 7));
    this.#put("meta", receivedKey(session, 1 + random(100)), Uint8Array.of(1));
    if (random(2) === 0) this.#remove("meta", sentKey(session, Math.max(0, commit - random(20))));
  }

  #changeRetained(commit: number): void {
    const random = this.#random;
    const topic = `state/${random(300)}`;
    const key = new TextEncoder().encode(topic);
    const state = messageOf(topic, `${commit}`.padEnd(RECORD_BYTES[random(5)] ?? 0, "."));
    if (random(5) === 0) this.#remove("retained", key);
    else this.#put("retained", key, encodeMessageRecord(state));
  }

  #put(table: "meta" | "retained", key: Uint8Array, value: Uint8Array): void {
    this.#store.put(table, key, value);
    this.small[table].set(hex(key), hex(value));
  }

  #remove(table: "meta" | "retained", key: Uint8Array): void {
    this.#store.remove(table, key);
    this.small[table].delete(hex(key));
  }
}

/** Fills a store at `path` with so many commits of streams, sessions, QoS 2 exchanges and retained messages. */
export async function fillStore(path: string, seed: number, commits: number): Promise<StoreLedger> {
  const store = openLmdbStore({ path, diskReserveBytes: 0 });
  const filler = new Filler(store, randomOf(seed));
  for (let commit = 0; commit < commits; commit++) await filler.commit(commit);
  await store.close();
  const { logs, small, lastOrdinal } = filler;
  return { logs, ...small, lastOrdinal };
}

function trimSome(store: Store, log: LogId, known: Map<number, string> | undefined): void {
  const { firstSequence, nextSequence } = store.stats(log);
  const before = firstSequence + Math.floor((nextSequence - firstSequence) / 3);
  store.trim(log, before as Sequence, Number.MAX_SAFE_INTEGER as Ordinal);
  for (const sequence of known?.keys() ?? []) if (sequence < before) known?.delete(sequence);
}

/** How a salvaged store differs from the ledger, as sentences; empty: nothing is missing but what the report says. */
export async function faultsOf(
  store: Store,
  ledger: StoreLedger,
  report: SalvageReport,
): Promise<string[]> {
  const faults: string[] = [];
  const names = store.logNames();
  for (const [index, [name, records]] of [...ledger.logs].entries()) {
    const id = (index + 1) as LogId;
    const found = names.get(id);
    // A log whose name is lost is there under another.
    if (found !== name && found !== `$unnamed-${id}`) faults.push(`log ${id} is named ${found}`);
    const lost = report.logs.find(({ log }) => log === found)?.lost;
    if (lost === undefined) faults.push(`${name}: not in the report`);
    else faults.push(...logFaults(store, id, name, records, lost));
  }
  const probe = store.append(store.openLog("probe"), messageOf("a", "probe"));
  await store.drain();
  if (probe.ordinal <= ledger.lastOrdinal) faults.push(`ordinal ${probe.ordinal} given twice`);
  for (const table of ["meta", "retained"] as const) {
    faults.push(...rowFaults(store, table, ledger, report));
  }
  return faults;
}

function logFaults(
  store: Store,
  id: LogId,
  name: string,
  records: ReadonlyMap<number, string>,
  lost: readonly { readonly from: number; readonly to: number }[],
): string[] {
  const faults: string[] = [];
  const found = new Map<number, string>();
  const damaged: { from: number; to: number }[] = [];
  const { nextSequence } = store.stats(id);
  for (let next = 1 as Sequence; next < nextSequence; ) {
    const batch = store.read(id, next, 500, 4_000_000);
    if (batch.next === next) break;
    for (const record of batch.records) found.set(record.sequence, payloadOf(record));
    damaged.push(...batch.damaged);
    next = batch.next;
  }
  for (const [sequence, payload] of records) {
    const isLost = lost.some(({ from, to }) => from <= sequence && sequence <= to);
    const there = found.get(sequence);
    if (there === undefined && !isLost) faults.push(`${name} ${sequence}: missing, not reported`);
    if (
      there === undefined &&
      !damaged.some(({ from, to }) => from <= sequence && sequence <= to)
    ) {
      faults.push(`${name} ${sequence}: missing, not reported by reading`);
    }
    if (there !== undefined && isLost) faults.push(`${name} ${sequence}: reported lost, but there`);
    if (there !== undefined && there !== payload)
      faults.push(`${name} ${sequence}: another payload`);
    if (sequence >= nextSequence) faults.push(`${name} ${sequence}: will be given again`);
  }
  return faults;
}

function rowFaults(
  store: Store,
  table: "meta" | "retained",
  ledger: StoreLedger,
  report: SalvageReport,
): string[] {
  const faults: string[] = [];
  const { older, lost } = report[table];
  const rows = new Map(
    store.scan(table, new Uint8Array(0)).map(([key, value]) => [hex(key), hex(value)]),
  );
  const missing = [...ledger[table].keys()].filter((key) => !rows.has(key)).length;
  const changed = [...ledger[table]].filter(
    ([key, value]) => rows.has(key) && rows.get(key) !== value,
  ).length;
  const added = [...rows.keys()].filter((key) => !ledger[table].has(key)).length;
  // Of the last commit, what nobody could find is said to be missing, as a whole: it had four rows of `meta` and one other.
  const inLastCommit = report.lastCommitMayBeMissing ? ROWS_PER_COMMIT : 0;
  // An older copy may bring back as many rows as are missing, so that the count of lost ones is a lower bound.
  if (missing > (lost ?? Number.POSITIVE_INFINITY) + older + inLastCommit)
    faults.push(`${table}: ${missing} rows missing, ${lost} reported`);
  if (changed + added > older + inLastCommit)
    faults.push(`${table}: ${changed} rows changed, ${added} added, ${older} reported`);
  return faults;
}

/** A file whose bytes are changed in place. */
export class DamagedFile {
  readonly #fd: number;
  readonly pages: number;

  constructor(path: string) {
    this.#fd = openSync(path, "r+");
    this.pages = Math.floor(fstatSync(this.#fd).size / PAGE_BYTES);
  }

  /** The kind in a page's header: 1 branch, 2 leaf, 4 overflow, 8 meta. */
  kindOf(page: number): number {
    return this.#read(page * PAGE_BYTES, PAGE_BYTES).readUInt16LE(18);
  }

  overwrite(page: number, fill: (at: number) => number): void {
    const bytes = Buffer.from(Array.from({ length: PAGE_BYTES }, (_, at) => fill(at)));
    writeSync(this.#fd, bytes, 0, PAGE_BYTES, page * PAGE_BYTES);
  }

  flip(at: number, bit: number): void {
    const byte = this.#read(at, 1);
    byte[0] = (byte[0] ?? 0) ^ (1 << bit);
    writeSync(this.#fd, byte, 0, 1, at);
  }

  truncate(pages: number): void {
    ftruncateSync(this.#fd, pages * PAGE_BYTES);
  }

  close(): void {
    closeSync(this.#fd);
  }

  #read(at: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    assert.equal(readSync(this.#fd, bytes, 0, length, at), length);
    return bytes;
  }
}
