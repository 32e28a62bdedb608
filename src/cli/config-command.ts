import type { Command } from "commander";
import type { Config } from "../config.ts";
import { OperatingError } from "../lib/operating-error.ts";
import { addConfigOptions, type ConfigOptions, readConfig } from "./config-options.ts";
import { ExitCode } from "./exit-code.ts";

/** What is wrong with the files of users and rules. */
async function accessMistakes({ usersFile, rulesFile }: Config["access"]): Promise<string[]> {
  const { readUsers } = await import("../access/users-file.ts");
  const { readRules } = await import("../access/rules-file.ts");
  const reads = [
    usersFile === undefined ? undefined : () => readUsers(usersFile),
    rulesFile === undefined ? undefined : () => readRules(rulesFile),
  ];
  return reads.flatMap((read) => {
    try {
      read?.();
      return [];
    } catch (error) {
      if (error instanceof OperatingError) return [error.message];
      throw error;
    }
  });
}

async function runCheck(options: ConfigOptions): Promise<number> {
  const loaded = await readConfig(options);
  if (loaded === undefined) return ExitCode.usage;
  const mistakes = await accessMistakes(loaded.config.access);
  for (const mistake of mistakes) process.stderr.write(`rillmq: ${mistake}\n`);
  if (mistakes.length > 0) return ExitCode.usage;
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
