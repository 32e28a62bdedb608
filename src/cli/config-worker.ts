/** A thread of `rillmq serve`: reads the command line and the configuration, hands the configuration over, and ends. See `main.ts`. */
import { parentPort, workerData } from "node:worker_threads";
import type { LoadedConfig } from "../config.ts";
import { ExitCode } from "./exit-code.ts";
import { runProgram } from "./program.ts";
import { addServeCommand } from "./serve-command.ts";

function handOver(loaded: LoadedConfig): Promise<number> {
  parentPort?.postMessage(loaded);
  return Promise.resolve(ExitCode.fine);
}

process.exitCode = await runProgram(workerData as readonly string[], (program, done) =>
  addServeCommand(program, done, handOver),
);
