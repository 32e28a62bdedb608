import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { LoadedConfig } from "../config.ts";

/** What came of a command line: a configuration to serve with, or the end of the program. */
export interface ReadOutcome {
  readonly loaded: LoadedConfig | undefined;
  readonly exitCode: number;
}

/** The file of `config-worker.ts` where it is built; undefined: this runs from sources. */
export function configWorker(): string | undefined {
  const file = fileURLToPath(new URL("./config-worker.js", import.meta.url));
  return existsSync(file) ? file : undefined;
}

/**
 * Reads `argv`, the command line of `serve`, in a worker thread, which has ended when this resolves.
 * @throws what the thread did not catch
 */
export async function readInWorker(file: string, argv: readonly string[]): Promise<ReadOutcome> {
  let loaded: LoadedConfig | undefined;
  const worker = new Worker(file, { workerData: argv });
  worker.on("message", (message: LoadedConfig) => {
    loaded = message;
  });
  const [exitCode] = (await once(worker, "exit")) as [number];
  return { loaded, exitCode };
}
