import type { LoadedConfig } from "../config.ts";
import { configWorker, readInWorker } from "./read-in-worker.ts";

/** Runs the broker until it is told to stop; the exit code. */
async function serve({ config, isHttpGiven }: LoadedConfig): Promise<number> {
  const main = await import("../main.ts");
  return main.serve(config, { httpGiven: isHttpGiven });
}

/**
 * Runs one command. `argv` is what follows the program's name. A broker reads its command line and its configuration once and then runs for
 * months: where it is built, a thread of its own does that, so that their parsers and the schema are gone when it is ready.
 * @returns the exit code; a bug is thrown
 */
export async function run(argv: readonly string[]): Promise<number> {
  const worker = configWorker();
  if (argv[0] === "serve" && worker !== undefined) {
    // Meanwhile the broker is loaded, which takes about as long.
    const [outcome] = await Promise.all([readInWorker(worker, argv), import("../main.ts")]);
    return outcome.loaded === undefined ? outcome.exitCode : serve(outcome.loaded);
  }
  const { runProgram } = await import("./program.ts");
  const { addAllCommands } = await import("./all-commands.ts");
  return runProgram(argv, (program, done) => addAllCommands(program, done, serve));
}
