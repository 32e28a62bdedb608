/**
 * Tortures the broker: SIGKILL at random under load. Exits 1 when anything acknowledged is lost, comes twice with QoS 2 or out
 * of order.
 *
 *     npm run torture -- --kills 20 --seed 1
 *     npm run torture -- --patterns --kills 200 --seed 1     queues and streams, killed at every step of them
 *     npm run torture -- --damage 200 --seed 1     instead: damages files of stores and salvages them
 */
import { Command, CommanderError } from "commander";
import { integerFrom } from "../../firmware-sim/option-values.ts";
import { BrokerHome } from "../support/broker-process.ts";
import { runDamages } from "./damage/damage-run.ts";
import { isClean, runKills } from "./kill/kill-run.ts";
import { runPatterns } from "./patterns/patterns-run.ts";

const EXIT_CLEAN = 0;
const EXIT_LOSS = 1;
const EXIT_USAGE = 2;

interface Flags {
  readonly kills: number;
  readonly seed: number;
  readonly perKill: number;
  readonly patterns?: true;
  readonly damage?: number;
  readonly json?: true;
}

function buildCommand(): Command {
  return new Command("torture")
    .description(
      "Kills the broker with SIGKILL at random under QoS 1 and 2 load, starts it again on the same port and data folder, and checks that nothing acknowledged is lost and QoS 2 comes exactly once.",
    )
    .option("--kills <n>", "how often it is killed", integerFrom(1, 100_000), 20)
    .option("--seed <n>", "draws when", integerFrom(0, 2 ** 32 - 1), Date.now() % 1_000_000)
    .option(
      "--per-kill <n>",
      "messages acknowledged before each kill, at least",
      integerFrom(1, 50_000),
      500,
    )
    .option(
      "--patterns",
      "loads queues and streams over the native protocol instead, and kills at a step of a delivery or an append",
    )
    .option(
      "--damage <n>",
      "instead of kills: damages so many files of stores, salvages them and compares",
      integerFrom(1, 1_000_000),
    )
    .option("--json", "the report as JSON on standard output")
    .addHelpText("after", "\nExits 0 when all is well, 1 on any loss, 2 on wrong usage.")
    .exitOverride();
}

async function damage(damages: number, { seed, json }: Flags): Promise<number> {
  const say = (line: string): boolean => process.stderr.write(`${line}\n`);
  say(`seed ${seed}`);
  const faults = await runDamages({ damages, seed, onProgress: say });
  if (json) process.stdout.write(`${JSON.stringify({ seed, damages, faults })}\n`);
  else for (const fault of faults.slice(0, 20)) say(`fault: ${fault}`);
  say(faults.length === 0 ? "nothing lost that is not reported" : "FAILED");
  return faults.length === 0 ? EXIT_CLEAN : EXIT_LOSS;
}

type Say = (line: string) => void;

async function killPatterns(home: BrokerHome, say: Say, flags: Flags): Promise<boolean> {
  const { kills, seed, json } = flags;
  const report = await runPatterns({ home, kills, seed, onProgress: say });
  const { faults } = report;
  if (json) process.stdout.write(`${JSON.stringify({ seed, ...report })}\n`);
  else {
    say(`kills by step: ${JSON.stringify(report.steps)}`);
    say(`requests without answer at a kill: ${report.waitingMin} to ${report.waitingMax}`);
    say(`queues: ${JSON.stringify(report.queues)}`);
    say(`stream: ${JSON.stringify(report.stream)}`);
    for (const fault of faults.slice(0, 20)) say(`fault: ${fault}`);
  }
  return faults.length === 0;
}

async function killSessions(home: BrokerHome, say: Say, flags: Flags): Promise<boolean> {
  const { kills, seed, perKill: acknowledgedPerKill, json } = flags;
  const report = await runKills({ home, kills, seed, acknowledgedPerKill, onProgress: say });
  const { subscriber, stream, faults, outstandingMin } = report;
  if (json) process.stdout.write(`${JSON.stringify({ seed, ...report })}\n`);
  else {
    say(`fewest outstanding at a kill: ${outstandingMin}`);
    say(`durable subscriber: ${JSON.stringify(subscriber)}`);
    say(`stream on disk:     ${JSON.stringify(stream)}`);
    for (const fault of faults.slice(0, 20)) say(`fault: ${fault}`);
  }
  return isClean(report);
}

async function torture(flags: Flags): Promise<number> {
  const say = (line: string): boolean => process.stderr.write(`${line}\n`);
  say(`seed ${flags.seed}`);
  let close = async (): Promise<void> => undefined;
  const home = new BrokerHome({
    after: (callback) => {
      close = callback;
    },
  });
  const interrupted = (): void => {
    void close().finally(() => process.exit(EXIT_LOSS));
  };
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  try {
    const run = flags.patterns ? killPatterns : killSessions;
    const isFine = await run(home, say, flags);
    say(isFine ? "nothing lost" : "FAILED");
    return isFine ? EXIT_CLEAN : EXIT_LOSS;
  } catch (error) {
    say(`FAILED: ${error instanceof Error ? error.message : String(error)}`);
    return EXIT_LOSS;
  } finally {
    await close();
  }
}

const command = buildCommand();
try {
  command.parse();
  const flags = command.opts<Flags>();
  const { damage: damages } = flags;
  process.exitCode = await (damages === undefined ? torture(flags) : damage(damages, flags));
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? EXIT_CLEAN : EXIT_USAGE;
}
