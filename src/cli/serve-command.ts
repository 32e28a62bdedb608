import type { Command } from "commander";
import type { LoadedConfig } from "../config.ts";
import { addConfigOptions, type ConfigOptions, readConfig } from "./config-options.ts";
import { ExitCode } from "./exit-code.ts";

/** What is done with the configuration of a broker; the exit code. */
export type Serve = (loaded: LoadedConfig) => Promise<number>;

/** `rillmq serve`: the broker, until SIGTERM or SIGINT. */
export function addServeCommand(
  program: Command,
  done: (exitCode: number) => void,
  serve: Serve,
): void {
  addConfigOptions(program.command("serve"))
    .summary("run the broker")
    .description(
      [
        "Runs the broker until SIGTERM or SIGINT.",
        "Once it accepts, standard output has one line: ready pid=… mqtt://… http://…",
        "Logs go to standard error. Flags go over RILLMQ_… variables, these over the file.",
      ].join("\n"),
    )
    .action(async (options: ConfigOptions) => {
      const loaded = await readConfig(options);
      done(loaded === undefined ? ExitCode.usage : await serve(loaded));
    });
}
