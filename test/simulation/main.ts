/**
 * Simulates a whole node under virtual time, one world per seed. Exits 1 when a promise is broken, with the seed that shows it.
 *
 *     npm run simulate -- --seeds 200
 *     npm run simulate -- --seed 17 --seeds 1 --steps 2000
 */
import { Command, CommanderError } from "commander";
import { integerFrom } from "../../firmware-sim/option-values.ts";
import { type Tally, World } from "./world.ts";

interface Flags {
  readonly seeds: number;
  readonly seed: number;
  readonly steps: number;
  readonly json?: true;
}

const EXIT_CLEAN = 0;
const EXIT_BROKEN = 1;
const EXIT_USAGE = 2;

function buildCommand(): Command {
  return new Command("simulate")
    .description(
      "Runs MQTT sessions, native connections, queues, streams, events, requests, routes and an uplink under virtual time with crashes, broken networks and a remote that goes away, and checks that nothing acknowledged is lost, nothing settled comes back, and every request has one outcome.",
    )
    .option("--seeds <n>", "how many worlds", integerFrom(1, 1_000_000), 200)
    .option("--seed <n>", "the first seed", integerFrom(0, 2 ** 32 - 1), 1)
    .option("--steps <n>", "steps in each", integerFrom(1, 1_000_000), 500)
    .option("--json", "the report as JSON on standard output")
    .addHelpText(
      "after",
      "\nExits 0 when all is well, 1 when a promise is broken, 2 on wrong usage.",
    )
    .exitOverride();
}

function simulate({ seeds, seed: first, steps, json }: Flags): number {
  const say = (line: string): boolean => process.stderr.write(`${line}\n`);
  const startedAt = process.hrtime.bigint();
  const totals: Partial<Tally> = {};
  const isTerminal = process.stderr.isTTY;
  for (let seed = first; seed < first + seeds; seed++) {
    const world = new World(seed);
    try {
      for (let i = 0; i < steps; i++) world.step();
      world.finish();
    } catch (error) {
      const stack = error instanceof Error ? error.stack : String(error);
      say(`seed ${seed}, step ${world.tally.steps}, after ${world.trace.slice(-12).join(" ")}`);
      say(`${stack}`);
      return EXIT_BROKEN;
    }
    for (const [name, count] of Object.entries(world.tally) as [keyof Tally, number][]) {
      totals[name] = (totals[name] ?? 0) + count;
    }
    if (isTerminal) process.stderr.write(`\r${seed - first + 1} of ${seeds}`);
  }
  const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
  const perSecond = Math.round((totals.steps ?? 0) / seconds);
  if (isTerminal) process.stderr.write("\n");
  const report = { seeds, seed: first, ...totals, stepsPerSecond: perSecond };
  if (json) process.stdout.write(`${JSON.stringify(report)}\n`);
  else for (const [name, value] of Object.entries(report)) say(`${name.padEnd(16)} ${value}`);
  say("nothing acknowledged lost, nothing settled came back, every request has one outcome");
  return EXIT_CLEAN;
}

try {
  const command = buildCommand().parse();
  process.exitCode = simulate(command.opts<Flags>());
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? EXIT_CLEAN : EXIT_USAGE;
}
