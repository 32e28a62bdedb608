import { Command, CommanderError } from "commander";
import { packageVersion } from "../package-version.ts";
import { EXIT_CODES_HELP, ExitCode } from "./exit-code.ts";

/** `--version` works after every command. */
function setVersion(command: Command, version: string): void {
  command.version(version, "-V, --version", "print the version");
  for (const subcommand of command.commands) setVersion(subcommand, version);
}

const isUsageError = (error: CommanderError): boolean => error.exitCode !== 0;

/** Adds commands to the program; they tell their exit code to `done`. */
export type AddCommands = (program: Command, done: (exitCode: number) => void) => void;

/**
 * Runs one command. `argv` is what follows the program's name. Commands load what they need when they run, so that each starts fast.
 * @returns the exit code; a bug is thrown
 */
export async function runProgram(
  argv: readonly string[],
  addCommands: AddCommands,
): Promise<number> {
  let exitCode: number = ExitCode.fine;
  const program = new Command("rillmq")
    .description("A small MQTT broker for the edge: an acknowledgement means on disk.")
    .exitOverride()
    .showHelpAfterError("(add --help for what there is)")
    .addHelpText("afterAll", EXIT_CODES_HELP);
  addCommands(program, (code) => {
    exitCode = code;
  });
  setVersion(program, packageVersion());
  try {
    await program.parseAsync(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return isUsageError(error) ? ExitCode.usage : ExitCode.fine;
  }
  return exitCode;
}
