import type { Command } from "commander";
import { addConfigOptions, type ConfigOptions, readConfig } from "./config-options.ts";
import { ExitCode } from "./exit-code.ts";

async function runServe(options: ConfigOptions): Promise<number> {
  const loaded = await readConfig(options);
  if (loaded === undefined) return ExitCode.usage;
  const { serve } = await import("../main.ts");
  return serve(loaded.config, { httpGiven: loaded.isHttpGiven });
}

/** `rillmq serve`: the broker, until SIGTERM or SIGINT. */
export function addServeCommand(program: Command, done: (exitCode: number) => void): void {
  addConfigOptions(program.command("serve"))
    .summary("run the broker")
    .description(
      [
        "Runs the broker until SIGTERM or SIGINT.",
        "Once it accepts, standard output has one line: ready pid=… mqtt://… http://…",
        "Logs go to standard error. Flags go over RILLMQ_… variables, these over the file.",
      ].join("\n"),
    )
    .action(async (options: ConfigOptions) => done(await runServe(options)));
}
