/**
 * Runs the bundled broker in a memory cgroup, loads it, and shows what it took. Exits 1 when the kernel killed it, a message was not
 * acknowledged, a probe failed, or the backlog was not all there in the end.
 *
 *     npm run test:footprint -- --seconds 60 --limit 64
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, CommanderError } from "commander";
import { integerFrom } from "../../firmware-sim/option-values.ts";
import { EdgeDisk } from "./edge-disk.ts";
import { type FootprintReport, measureFootprint } from "./measure-footprint.ts";
import { MemoryCgroup } from "./memory-cgroup.ts";
import { reportText } from "./report-text.ts";

const MIB = 1_048_576;
const DISK_BYTES = 4_096 * MIB;
const EXIT_FITS = 0;
const EXIT_DOES_NOT = 1;
const EXIT_USAGE = 2;

interface Flags {
  readonly seconds: number;
  readonly limit: number;
  readonly rate: number;
  readonly connections: number;
  readonly backlog: number;
  readonly json?: true;
}

function buildCommand(): Command {
  return new Command("test:footprint")
    .description(
      "Runs the bundled broker with the image's flags in a memory cgroup, under QoS 1 load with a backlog, with readiness probes beside it.",
    )
    .option("--seconds <n>", "how long the load lasts", integerFrom(1, 86_400), 60)
    .option("--limit <mib>", "memory of the cgroup", integerFrom(16, 65_536), 64)
    .option("--rate <n>", "messages per second", integerFrom(1, 100_000), 1_000)
    .option("--connections <n>", "publishing connections", integerFrom(1, 1_000), 200)
    .option(
      "--backlog <n>",
      "messages that wait before the load begins",
      integerFrom(1, 5_000_000),
      200_000,
    )
    .option("--json", "the report as JSON on standard output")
    .exitOverride();
}

async function run(flags: Flags): Promise<number> {
  const cgroup = MemoryCgroup.make(flags.limit * MIB);
  if (typeof cgroup === "string") {
    process.stdout.write(`SKIPPED: ${cgroup}\n`);
    return EXIT_FITS;
  }
  const folder = mkdtempSync(join(tmpdir(), "rillmq-footprint-"));
  let disk: EdgeDisk | undefined;
  let report: FootprintReport;
  try {
    disk = EdgeDisk.mount(folder, DISK_BYTES);
    const bundle = join(folder, "bundle");
    const script = join(import.meta.dirname, "..", "..", "scripts", "bundle.mjs");
    const stdio = ["ignore", "ignore", "inherit"] as const;
    execFileSync(process.execPath, [script, "--out", bundle], { stdio: [...stdio] });
    report = await measureFootprint(cgroup, { ...flags, folder: disk.path, bundle });
  } finally {
    await cgroup.remove();
    disk?.unmount();
    rmSync(folder, { recursive: true, force: true });
  }
  process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : reportText(report));
  return report.failures.length === 0 ? EXIT_FITS : EXIT_DOES_NOT;
}

const command = buildCommand();
try {
  command.parse();
  process.exitCode = await run(command.opts<Flags>());
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? EXIT_FITS : EXIT_USAGE;
}
