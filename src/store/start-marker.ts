/**
 * Remembers starts that did not end well, in a small file beside the store. A start that ends by a crash while the store is opened or
 * recovered counts two, a run that ends by a crash soon after it was ready counts one. From `SUSPICIOUS` on the store is looked at
 * before it is opened: two crashes in a row while starting, or four soon after.
 *
 *     begin (+2) ── isReady (+1) ── isSettled (gone)
 *        └── abandon (as before): the start failed for a reason that has nothing to do with what is stored
 */
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";

const FILE = "rillmq.starting";
const UNFINISHED_START = 2;
const SHORT_RUN = 1;
const SUSPICIOUS = 4;

export class StartMarker {
  readonly #folder: string;
  readonly #path: string;
  /** What runs before this one left. */
  #before: number;

  /** `folder`: the data folder, locked. */
  constructor(folder: string) {
    this.#folder = folder;
    this.#path = join(folder, FILE);
    this.#before = readPoints(this.#path);
  }

  /** True: the last runs crashed so early that the store may be damaged. */
  get isSuspicious(): boolean {
    return this.#before >= SUSPICIOUS;
  }

  /** The store was looked at and is fine, or was mended. */
  clear(): void {
    this.#before = 0;
  }

  /** The store is about to be opened. */
  begin(): void {
    this.#write(this.#before + UNFINISHED_START);
  }

  /** The store is recovered, clients may come. */
  isReady(): void {
    this.#write(this.#before + SHORT_RUN);
  }

  /** It has run for a while, or ended in good order. */
  isSettled(): void {
    this.#before = 0;
    this.#write(0);
  }

  /** This start failed for an ordinary reason and does not count. */
  abandon(): void {
    this.#write(this.#before);
  }

  /** Reading the store met damage: the next start looks at it. */
  condemn(): void {
    this.#write(SUSPICIOUS);
  }

  /** Durable when it returns. A disk that does not take it keeps no broker from starting. */
  #write(points: number): void {
    try {
      if (points === 0) {
        rmSync(this.#path, { force: true });
      } else {
        const next = `${this.#path}.new`;
        const fd = openSync(next, "w", 0o600);
        try {
          writeSync(fd, `${points}\n`);
          fsyncSync(fd);
        } finally {
          closeSync(fd);
        }
        renameSync(next, this.#path);
      }
      syncFolder(this.#folder);
    } catch {
      // Full or read-only: whoever opens the store will say so.
    }
  }
}

/** A file that makes no sense is the trace of a start that did not finish. */
function readPoints(path: string): number {
  try {
    const points = Number(readFileSync(path, "utf8"));
    return Number.isSafeInteger(points) && points > 0 ? points : UNFINISHED_START;
  } catch (error) {
    const isAbsent = error instanceof Error && "code" in error && error.code === "ENOENT";
    return isAbsent ? 0 : UNFINISHED_START;
  }
}

/** Makes renames and removals in a folder durable. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
