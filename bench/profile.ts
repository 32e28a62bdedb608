/** `npm run profile -- SCENARIO`: where the broker's processor time goes. See docs/bench.md. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import type { Peer } from "./peers/peer.ts";
import { RILLMQ_COMMAND, rillmq, startRillmq } from "./peers/rillmq.ts";
import { buildRillmq } from "./suite/commands.ts";
import { type CpuProfile, hottestFunctions } from "./suite/cpu-profile.ts";
import { runSuiteScenario } from "./suite/suite-run.ts";
import { SUITE_SCENARIOS } from "./suite/suite-scenario.ts";
import { formatOptional, formatTable } from "./table.ts";

const EXIT_USAGE = 2;
const ROOT = join(import.meta.dirname, "..");
const RESULTS = join(import.meta.dirname, "results");
const SHOWN = 25;
const INTERVAL_US = 200;
const WARMUP_MS = 1_000;

function usage(text: string): never {
  const names = SUITE_SCENARIOS.map(({ name }) => name).join(" ");
  process.stderr.write(
    `${text}\nnpm run profile -- SCENARIO [--seconds S] [--no-build]\n${names}\n`,
  );
  process.exit(EXIT_USAGE);
}

function options(): { readonly name: string; readonly seconds: number; readonly build: boolean } {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        seconds: { type: "string", default: "5" },
        "no-build": { type: "boolean", default: false },
      },
    });
    const seconds = Number(values.seconds);
    if (!(seconds > 0 && seconds <= 100)) usage("Expected up to 100 seconds.");
    return { name: positionals[0] ?? "", seconds, build: !values["no-build"] };
  } catch (error) {
    return usage((error as Error).message);
  }
}

process.on("SIGINT", () => process.exit(130));
process.on("SIGTERM", () => process.exit(143));

const { name, seconds, build } = options();
const scenario = SUITE_SCENARIOS.find((one) => one.name === name);
if (scenario === undefined) usage(`There is no scenario ${name}.`);
if (build) buildRillmq();
const folder = join(RESULTS, `profile-${process.pid}`);
mkdirSync(folder, { recursive: true });
try {
  const profiler = [
    "--cpu-prof",
    "--cpu-prof-interval",
    `${INTERVAL_US}`,
    "--cpu-prof-dir",
    folder,
  ];
  const profiled: Peer = {
    ...rillmq,
    start: (data, setup) => startRillmq(profiler, RILLMQ_COMMAND, data, setup),
  };
  process.stderr.write(`${scenario.name}: ${seconds} s, with the profiler in the broker\n`);
  const timing = { warmupMs: WARMUP_MS, windowMs: seconds * 1_000 };
  const result = await runSuiteScenario(profiled, scenario, timing, tmpdir());
  const file = readdirSync(folder).find((one) => one.endsWith(".cpuprofile"));
  if (file === undefined) throw new Error("the broker left no profile");
  const kept = join(RESULTS, `${scenario.name}-${new Date().toISOString().replaceAll(":", "-")}`);
  const profile = JSON.parse(readFileSync(join(folder, file), "utf8")) as CpuProfile;
  renameSync(join(folder, file), `${kept}.cpuprofile`);
  const rows = hottestFunctions(profile, SHOWN, ROOT, result.window).map((hot) => [
    hot.name,
    `${(hot.share * 100).toFixed(1)} %`,
    hot.place,
  ]);
  process.stdout.write(
    `${scenario.title}\n${formatOptional(result.perSecond)} messages/s, ${formatOptional(result.brokerUs)} µs of broker per message, the profiler's cost included\n\n${formatTable([["function", "self", "place"], ...rows])}\n`,
  );
  process.stderr.write(`kept: ${relative(process.cwd(), kept)}.cpuprofile\n`);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
