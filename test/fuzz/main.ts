/**
 * Throws spoiled conversations at the broker: most at the whole core in this process, some through real sockets at a broker in
 * a process of its own, some at its records on disk. Exits 1 when one of them is not survived, or memory grows.
 *
 *     npm run fuzz -- --inputs 1000000 --seed 1
 */
import { Command, CommanderError, InvalidArgumentError } from "commander";
import { integerFrom } from "../../firmware-sim/option-values.ts";
import { type FuzzReport, runFuzz, runOnly } from "./fuzz-run.ts";

const EXIT_SURVIVED = 0;
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const MIB = 1_048_576;
/** Most that memory may grow from the warm-up to the end. */
const GROWTH_BYTES_MAX = 64 * MIB;
/** Of all inputs, one in so many goes through real sockets. */
const SOCKETS_ONE_IN = 100;

interface Flags {
  readonly inputs: number;
  readonly seed: number;
  readonly sockets?: number;
  readonly only?: { readonly target: string; readonly seed: number };
  readonly json?: true;
}

function onlyFrom(text: string): Flags["only"] {
  const match = /^(core|native|records):(\d+)$/.exec(text);
  if (match === null)
    throw new InvalidArgumentError("core:SEED, native:SEED or records:SEED is needed");
  return { target: match[1] ?? "", seed: Number(match[2]) };
}

function buildCommand(): Command {
  const count = integerFrom(0, 100_000_000);
  return new Command("fuzz")
    .description(
      "Throws spoiled conversations at the broker and checks that it answers, serves others and does not grow.",
    )
    .option("--inputs <n>", "how many", count, 20_000)
    .option("--seed <n>", "draws them", integerFrom(0, 2 ** 32 - 1), Date.now() % 1_000_000)
    .option("--sockets <n>", "how many of them through real sockets; default 1 in 100", count)
    .option("--only <target:seed>", "one input once more", onlyFrom)
    .option("--json", "the report as JSON on standard output")
    .addHelpText("after", "\nExits 0 when all is well, 1 when not, 2 on wrong usage.")
    .exitOverride();
}

const mib = (bytes: number): string => `${(bytes / MIB).toFixed(1)} MiB`;

function reportLines(report: FuzzReport): string[] {
  const { memory, brokerMemory } = report;
  const { before, after } = memory;
  const table = (counts: object): string =>
    Object.entries(JSON.parse(JSON.stringify(counts)) as Record<string, number>)
      .map(([name, count]) => `${name} ${count}`)
      .join(", ");
  return [
    `${report.inputs} inputs, ${report.inputsPerSecond} a second in process, ${report.recordInputs} at records`,
    `came to the decoder of: ${table(report.reached)}`,
    `decoded:                ${table(report.decoded)}`,
    `ended in:               ${table(report.outcomes)}`,
    `spoiled by:             ${table(report.ways)}`,
    `native protocol:        ${report.native.inputs} inputs; ${table(report.native.ops)}`,
    `answered:               ${table(report.native.outcomes)}`,
    `spoiled by:             ${table(report.native.ways)}`,
    `through sockets:        ${table(report.sockets)}`,
    `memory of this process: resident ${mib(before.rssBytes)} to ${mib(after.rssBytes)}, heap ${mib(before.heapBytes)} to ${mib(after.heapBytes)}, buffers ${mib(before.buffersBytes)} to ${mib(after.buffersBytes)}`,
    `memory of the broker:   ${mib(brokerMemory.before)} to ${mib(brokerMemory.after)}`,
  ];
}

function hasGrown({ memory, brokerMemory }: FuzzReport): boolean {
  const { before, after } = memory;
  const own = Math.max(
    after.rssBytes - before.rssBytes,
    after.heapBytes + after.buffersBytes - before.heapBytes - before.buffersBytes,
  );
  return Math.max(own, brokerMemory.after - brokerMemory.before) > GROWTH_BYTES_MAX;
}

async function fuzz({ inputs, seed, sockets, only, json }: Flags): Promise<number> {
  const say = (line: string): boolean => process.stderr.write(`${line}\n`);
  try {
    if (only !== undefined) {
      runOnly(only.target, only.seed);
      say("survived");
      return EXIT_SURVIVED;
    }
    say(`seed ${seed}`);
    const socketInputs = sockets ?? Math.floor(inputs / SOCKETS_ONE_IN);
    const report = await runFuzz({ inputs, seed, socketInputs, onProgress: say });
    if (json) process.stdout.write(`${JSON.stringify({ seed, ...report })}\n`);
    else for (const line of reportLines(report)) say(line);
    const isGrown = hasGrown(report);
    say(isGrown ? `FAILED: memory grew by more than ${mib(GROWTH_BYTES_MAX)}` : "survived");
    return isGrown ? EXIT_FAILED : EXIT_SURVIVED;
  } catch (error) {
    say(`FAILED: ${error instanceof Error ? error.message : String(error)}`);
    const cause = error instanceof Error ? error.cause : undefined;
    if (cause instanceof Error) say(cause.stack ?? cause.message);
    return EXIT_FAILED;
  }
}

const command = buildCommand();
try {
  command.parse();
  process.exitCode = await fuzz(command.opts<Flags>());
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? EXIT_SURVIVED : EXIT_USAGE;
}
