import { Command, CommanderError } from "commander";
import { packageVersion } from "../package-version.ts";
import { addClientsCommand } from "./clients-command.ts";
import { addConfigCommand } from "./config-command.ts";
import { addEventsCommand } from "./events-command.ts";
import { EXIT_CODES_HELP, ExitCode } from "./exit-code.ts";
import { addPasswdCommand } from "./passwd-command.ts";
import { addPubCommand } from "./pub-command.ts";
import { addQueueCommand } from "./queue-command.ts";
import { addRequestCommands } from "./request-command.ts";
import { addRetainedCommand } from "./retained-command.ts";
import { addServeCommand } from "./serve-command.ts";
import { addSessionsCommand } from "./sessions-command.ts";
import { addStatusCommand } from "./status-command.ts";
import { addStoreCommand } from "./store-command.ts";
import { addStreamCommand } from "./stream-command.ts";
import { addSubCommand } from "./sub-command.ts";
import { addTopicsCommand } from "./topics-command.ts";
import { addUplinkCommand } from "./uplink-command.ts";

/** `--version` works after every command. */
function setVersion(command: Command, version: string): void {
  command.version(version, "-V, --version", "print the version");
  for (const subcommand of command.commands) setVersion(subcommand, version);
}

const isUsageError = (error: CommanderError): boolean => error.exitCode !== 0;

/**
 * Runs one command. `argv` is what follows the program's name. Commands load what they need when they run, so that each starts fast.
 * @returns the exit code; a bug is thrown
 */
export async function run(argv: readonly string[]): Promise<number> {
  let exitCode: number = ExitCode.fine;
  const program = new Command("rillmq")
    .description("A small MQTT broker for the edge: an acknowledgement means on disk.")
    .exitOverride()
    .showHelpAfterError("(add --help for what there is)")
    .addHelpText("afterAll", EXIT_CODES_HELP);
  const done = (code: number): void => {
    exitCode = code;
  };
  addServeCommand(program, done);
  addPubCommand(program, done);
  addSubCommand(program, done);
  addEventsCommand(program, done);
  addStreamCommand(program, done);
  addQueueCommand(program, done);
  addRequestCommands(program, done);
  addStatusCommand(program, done);
  addClientsCommand(program, done);
  addSessionsCommand(program, done);
  addTopicsCommand(program, done);
  addRetainedCommand(program, done);
  addUplinkCommand(program, done);
  addStoreCommand(program, done);
  addConfigCommand(program, done);
  addPasswdCommand(program, done);
  setVersion(program, packageVersion());
  try {
    await program.parseAsync(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return isUsageError(error) ? ExitCode.usage : ExitCode.fine;
  }
  return exitCode;
}
