import type { Command } from "commander";
import { addClientsCommand } from "./clients-command.ts";
import { addConfigCommand } from "./config-command.ts";
import { addEventsCommand } from "./events-command.ts";
import { addPasswdCommand } from "./passwd-command.ts";
import { addPubCommand } from "./pub-command.ts";
import { addQueueCommand } from "./queue-command.ts";
import { addRequestCommands } from "./request-command.ts";
import { addRetainedCommand } from "./retained-command.ts";
import { addServeCommand, type Serve } from "./serve-command.ts";
import { addSessionsCommand } from "./sessions-command.ts";
import { addStatusCommand } from "./status-command.ts";
import { addStoreCommand } from "./store-command.ts";
import { addStreamCommand } from "./stream-command.ts";
import { addSubCommand } from "./sub-command.ts";
import { addTopicsCommand } from "./topics-command.ts";
import { addUplinkCommand } from "./uplink-command.ts";

/** Adds every command there is; `done` takes the exit code of the one that runs, `serve` does what the command of that name is for. */
export function addAllCommands(
  program: Command,
  done: (exitCode: number) => void,
  serve: Serve,
): void {
  addServeCommand(program, done, serve);
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
}
