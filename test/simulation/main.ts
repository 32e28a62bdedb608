/**
 * Simulates a whole node under virtual time, one world per seed. Exits 1 when a promise is broken, with the seed that shows it.
 *
 *     npm run simulate -- --seeds 200
 *     npm run simulate -- --seed 17 --seeds 1 --steps 2000
 *     npm run simulate -- --seeds 2000 --jobs 2
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { Command, CommanderError } from "commander";
import { integerFrom } from "../../firmware-sim/option-values.ts";
import { type Tally, World } from "./world.ts";

interface Flags {
  readonly seeds: number;
  readonly seed: number;
  readonly steps: number;
  readonly jobs: number;
  readonly json?: true;
}

/** Of one process. */
type Report = Tally & { readonly seeds: number; readonly seed: number };

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
    .option("--jobs <n>", "processes that share the worlds", integerFrom(1, 64), 1)
    .option("--json", "the report as JSON on standard output")
    .addHelpText(
      "after",
      "\nExits 0 when all is well, 1 when a promise is broken, 2 on wrong usage.",
    )
    .exitOverride();
}

const say = (line: string): boolean => process.stderr.write(`${line}\n`);

/** Undefined: a promise is broken, which was said. */
function simulateHere({ seeds, seed: first, steps }: Flags): Report | undefined {
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
      return undefined;
    }
    add(totals, world.tally);
    if (isTerminal) process.stderr.write(`\r${seed - first + 1} of ${seeds}`);
  }
  if (isTerminal) process.stderr.write("\n");
  return { seeds, seed: first, ...(totals as Tally) };
}

function add(totals: Partial<Tally>, tally: Tally): void {
  for (const [name, count] of Object.entries(tally) as [keyof Tally, number][]) {
    totals[name] = (totals[name] ?? 0) + count;
  }
}

/** The same in processes of their own, each with its share of the seeds. */
async function simulateInJobs({ seeds, seed, steps, jobs }: Flags): Promise<Report | undefined> {
  const share = Math.ceil(seeds / jobs);
  const starts = Array.from({ length: jobs }, (_, i) => i * share).filter((at) => at < seeds);
  const tallies = await Promise.all(
    starts.map(async (at) => {
      const own = { seed: seed + at, seeds: Math.min(share, seeds - at), steps };
      const flags = Object.entries(own).flatMap(([name, value]) => [`--${name}`, String(value)]);
      const args = [...process.execArgv, fileURLToPath(import.meta.url), ...flags, "--json"];
      const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
      const [said, [code]] = await Promise.all([text(child.stdout), once(child, "close")]);
      return code === EXIT_CLEAN ? tallyOf(said) : undefined;
    }),
  );
  const totals: Partial<Tally> = {};
  for (const tally of tallies) {
    if (tally === undefined) return undefined;
    add(totals, tally);
  }
  return { seeds, seed, ...(totals as Tally) };
}

/** What a process reported, without what is not counted up. */
function tallyOf(report: string): Tally {
  const { seeds: _seeds, seed: _seed, stepsPerSecond: _rate, ...tally } = JSON.parse(report);
  return tally;
}

async function simulate(flags: Flags): Promise<number> {
  const startedAt = process.hrtime.bigint();
  const found = flags.jobs === 1 ? simulateHere(flags) : await simulateInJobs(flags);
  if (found === undefined) return EXIT_BROKEN;
  const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
  const report = { ...found, stepsPerSecond: Math.round(found.steps / seconds) };
  if (flags.json) process.stdout.write(`${JSON.stringify(report)}\n`);
  else for (const [name, value] of Object.entries(report)) say(`${name.padEnd(16)} ${value}`);
  if (!flags.json) {
    say("nothing acknowledged lost, nothing settled came back, every request has one outcome");
  }
  return EXIT_CLEAN;
}

try {
  const command = buildCommand().parse();
  process.exitCode = await simulate(command.opts<Flags>());
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? EXIT_CLEAN : EXIT_USAGE;
}
