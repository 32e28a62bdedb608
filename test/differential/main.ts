/**
 * Plays the same random scripts of two or three clients against this broker, mosquitto and aedes. Exits 1 on a difference that
 * `triage.ts` does not know.
 *
 *     npm run differential -- --scripts 1000 --seed 1
 */
import { Command, CommanderError } from "commander";
import { integerFrom } from "../../firmware-sim/option-values.ts";
import { runDifferential } from "./differential-run.ts";
import { startAedes, startMosquitto, startOurs } from "./stages.ts";

const EXIT_SAME = 0;
const EXIT_DIFFERENT = 1;
const EXIT_USAGE = 2;

interface Flags {
  readonly scripts: number;
  readonly seed: number;
  readonly unknownMax: number;
}

function buildCommand(): Command {
  return new Command("differential")
    .description(
      "Plays random scripts against this broker, mosquitto and aedes, and fails on a difference that is not triaged.",
    )
    .option("--scripts <n>", "how many", integerFrom(1, 1_000_000), 300)
    .option("--seed <n>", "draws them", integerFrom(0, 2 ** 32 - 1), Date.now() % 1_000_000)
    .option("--unknown-max <n>", "ends after so many that are not known", integerFrom(1, 1_000), 5)
    .addHelpText("after", "\nExits 0 when all is triaged, 1 when not, 2 on wrong usage.")
    .exitOverride();
}

async function differential({ scripts, seed, unknownMax }: Flags): Promise<number> {
  const say = (line: string): boolean => process.stderr.write(`${line}\n`);
  const closings: (() => Promise<void>)[] = [];
  const cleanup = { after: (close: () => Promise<void>) => closings.push(close) };
  try {
    say(`seed ${seed}`);
    const ours = await startOurs(cleanup);
    const mosquitto = await startMosquitto(cleanup);
    if (mosquitto === undefined)
      say("mosquitto is not installed: without it version 5 has no peer");
    const aedes = await startAedes(cleanup);
    const peers = mosquitto === undefined ? [aedes] : [mosquitto, aedes];
    const started = performance.now();
    const report = await runDifferential({
      ours,
      peers,
      scripts,
      seed,
      unknownMax,
      onProgress: say,
    });
    const seconds = (performance.now() - started) / 1_000;
    const played = [...report.played].map(([name, count]) => `${count} against ${name}`).join(", ");
    say(`${report.scripts} scripts in ${seconds.toFixed(1)} s: ${played}`);
    for (const [name, count] of report.known) say(`known, ${count} times: ${name}`);
    say(`did not come again: ${report.notAgain}`);
    say(`not triaged: ${report.unknown.length}`);
    return report.unknown.length === 0 ? EXIT_SAME : EXIT_DIFFERENT;
  } catch (error) {
    say(`FAILED: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    return EXIT_DIFFERENT;
  } finally {
    for (const close of closings) await close();
  }
}

const command = buildCommand();
try {
  command.parse();
  process.exitCode = await differential(command.opts<Flags>());
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? EXIT_SAME : EXIT_USAGE;
}
