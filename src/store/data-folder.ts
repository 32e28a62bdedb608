/** The folder that everything durable is in, and the lock that keeps a second process out of it. */
import { accessSync, closeSync, constants, mkdirSync, openSync } from "node:fs";
import { join, resolve } from "node:path";
import { tryLock } from "fs-native-extensions";
import { OperatingError } from "../lib/operating-error.ts";

const LOCK_FILE = "rillmq.lock";
const STORE_FILE = "store.mdb";

/** A data folder that this process has for itself until it closes it or ends, however it ends. */
export class DataFolder {
  /** Absolute. */
  readonly path: string;
  /** Where `openLmdbStore` keeps its file. */
  readonly storePath: string;
  #lock: number | undefined;

  constructor(path: string, lock: number) {
    this.path = path;
    this.storePath = join(path, STORE_FILE);
    this.#lock = lock;
  }

  /** Gives up the lock. Close the store first. */
  close(): void {
    if (this.#lock !== undefined) closeSync(this.#lock);
    this.#lock = undefined;
  }
}

function unusable(path: string, cause: unknown): OperatingError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new OperatingError("data-folder-unusable", `cannot use data folder ${path}: ${why}`, {
    cause,
  });
}

function openLockFile(path: string): number {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
    return openSync(join(path, LOCK_FILE), "a+", 0o600);
  } catch (error) {
    throw unusable(path, error);
  }
}

function lockFile(path: string, fd: number): boolean {
  try {
    return tryLock(fd);
  } catch (error) {
    closeSync(fd);
    throw unusable(path, error);
  }
}

/**
 * Makes the folder if it is not there (for its owner only), and locks it. The lock belongs to the open file, not
 * to a process id: the kernel drops it when the process ends, also by SIGKILL and also where every pid is 1.
 * @throws OperatingError `data-folder-unusable` (cannot be made, read or written, or cannot be locked) or
 * `data-folder-in-use` (another process has it).
 */
export function openDataFolder(path: string): DataFolder {
  const absolute = resolve(path);
  const fd = openLockFile(absolute);
  if (!lockFile(absolute, fd)) {
    closeSync(fd);
    const message = `data folder ${absolute} is in use by another process`;
    throw new OperatingError("data-folder-in-use", message);
  }
  return new DataFolder(absolute, fd);
}
