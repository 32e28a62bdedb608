/**
 * Keeps the broker starting when its store is damaged: remembers starts that crashed, looks at the store when there were too many, and
 * has it salvaged. What it did is in the log, and in a report beside the store.
 */
import {
  assertStoreIsThere,
  mendStore,
  type Program,
  thisProgram,
} from "./store/salvage/mend-store.ts";
import { lostText } from "./store/salvage/salvage-report.ts";
import { isDamage } from "./store/salvage/store-damage.ts";
import { StartMarker } from "./store/start-marker.ts";
import type { Log } from "./telemetry/log.ts";

/** A crash after so long has nothing to do with the start. */
const SETTLED_MS = 30_000;
const PROGRESS_LOG_MS = 5_000;

export interface StoreWatchOptions {
  /** The data folder, locked. */
  readonly folder: string;
  readonly storePath: string;
  readonly log: Log;
  /** What is run for the work on a damaged store; default: this program. */
  readonly program?: Program;
}

export class StoreWatch {
  readonly #options: StoreWatchOptions;
  readonly #marker: StartMarker;
  #settling: NodeJS.Timeout | undefined;
  #loggedAt = Number.NEGATIVE_INFINITY;
  #isReady = false;
  #isCondemned = false;

  constructor(options: StoreWatchOptions) {
    this.#options = options;
    this.#marker = new StartMarker(options.folder);
  }

  /**
   * Before the store is opened. Looks at it first when the last starts crashed.
   * @throws OperatingError `data-folder-unusable` when it is damaged and cannot be salvaged
   */
  async begin(): Promise<void> {
    const { storePath, log } = this.#options;
    assertStoreIsThere(storePath);
    if (this.#marker.isSuspicious) {
      log("warn", "the last starts ended in a crash: looking at the store before it is opened");
      await this.mend();
      this.#marker.clear();
    }
    this.#marker.begin();
  }

  /** Clients may come. */
  ready(): void {
    this.#isReady = true;
    this.#marker.isReady();
    this.#settling = setTimeout(() => this.#marker.isSettled(), SETTLED_MS);
    this.#settling.unref();
  }

  /** The process ends in good order, or the start failed for a reason that it can name. */
  end(): void {
    clearTimeout(this.#settling);
    if (this.#isCondemned) return;
    if (this.#isReady) this.#marker.isSettled();
    else this.#marker.abandon();
  }

  /** Something was thrown that nobody expected: reading a damaged store does that. The next start looks at it. */
  onCrash(error: unknown): void {
    if (!isDamage(error)) return;
    this.#isCondemned = true;
    clearTimeout(this.#settling);
    this.#marker.condemn();
  }

  /**
   * Looks at the store, and salvages it if it is damaged. Nobody has it open.
   * @throws OperatingError `data-folder-unusable` when it cannot be salvaged
   */
  async mend(): Promise<void> {
    const { storePath, log, program } = this.#options;
    const mended = await mendStore({
      path: storePath,
      program: program ?? thisProgram(),
      onProgress: (work, bytes) => this.#logProgress(work, bytes),
    });
    if (mended === undefined) {
      log("info", "the store is intact");
      return;
    }
    const { report, damagedPath, reportPath } = mended;
    log("error", "the store was damaged: what could be found is in a new one", {
      lost: lostText(report),
      records: report.logs.reduce((sum, { records }) => sum + records, 0),
      sessions: report.meta.sessions,
      retained: report.retained.rows,
      rowsLost: report.meta.lost,
      retainedLost: report.retained.lost,
      outOfDate: report.meta.older + report.retained.older,
      damagedPath,
      reportPath,
    });
  }

  #logProgress(work: string, bytes: number): void {
    const now = performance.now();
    if (now - this.#loggedAt < PROGRESS_LOG_MS) return;
    this.#loggedAt = now;
    this.#options.log("info", "working on the store", { work, mebibytes: bytes / 1_048_576 });
  }
}
