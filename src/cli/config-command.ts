import type { Command } from "commander";
import { addConfigOptions, type ConfigOptions, readConfig } from "./config-options.ts";
import { ExitCode } from "./exit-code.ts";

async function runCheck(options: ConfigOptions): Promise<number> {
  const loaded = await readConfig(options);
  if (loaded === undefined) return ExitCode.usage;
  process.stdout.write("the configuration is fine\n");
  return ExitCode.fine;
}

async function runPrint(options: ConfigOptions): Promise<number> {
  const loaded = await readConfig(options);
  if (loaded === undefined) return ExitCode.usage;
  const { configText } = await import("../config.ts");
  process.stdout.write(configText(loaded.config));
  return ExitCode.fine;
}

async function runSchema(): Promise<number> {
  const { configJsonSchema } = await import("../config-schema.ts");
  process.stdout.write(`${JSON.stringify(configJsonSchema(), undefined, 2)}\n`);
  return ExitCode.fine;
}

/** `rillmq config check|print|schema`. */
export function addConfigCommand(program: Command, done: (exitCode: number) => void): void {
  const config = program.command("config").description("Looks at the configuration.");
  addConfigOptions(config.command("check"))
    .description("Says whether the configuration is fine, or everything that is wrong with it.")
    .action(async (options: ConfigOptions) => done(await runCheck(options)));
  addConfigOptions(config.command("print"))
    .description("Prints the configuration in force, defaults included, as YAML without secrets.")
    .action(async (options: ConfigOptions) => done(await runPrint(options)));
  config
    .command("schema")
    .description("Prints the JSON Schema of the file.")
    .action(async () => done(await runSchema()));
}
