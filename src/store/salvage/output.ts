import type { Backing, BackingTable, BackingWrite } from "../backing.ts";

/** Bytes of one commit to the new file, about. */
const COMMIT_BYTES = 4 * 1_048_576;

/** Puts to the new store, gathered into commits. */
export class Output {
  readonly #backing: Backing;
  #writes: BackingWrite[] = [];
  #bytes = 0;

  constructor(backing: Backing) {
    this.#backing = backing;
  }

  put(table: BackingTable, key: Uint8Array, value: Uint8Array): void {
    this.#writes.push({ table, key: new Uint8Array(key), value });
    this.#bytes += key.length + value.length;
  }

  get isFull(): boolean {
    return this.#bytes >= COMMIT_BYTES;
  }

  async commit(): Promise<void> {
    const writes = this.#writes;
    this.#writes = [];
    this.#bytes = 0;
    if (writes.length === 0) return;
    await new Promise<void>((resolve, reject) => {
      this.#backing.commit(writes, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }
}
