import { existsSync } from "node:fs";
import { Argument, type Command } from "commander";
import { OperatingError } from "../lib/operating-error.ts";
import { ExitCode } from "./exit-code.ts";

interface StoreOptions {
  readonly data?: string;
  readonly json?: boolean;
}

const WORKS = ["check", "read", "rebuild"] as const;
type Work = (typeof WORKS)[number];
const RANGES_SHOWN_MAX = 20;

/** Runs `use` with the store's file while this process has the data folder; its errors become exit codes. */
async function withStore(
  options: StoreOptions,
  use: (path: string) => Promise<number>,
): Promise<number> {
  const data = options.data ?? (process.env["RILLMQ_DATA"] || "./data");
  const { openDataFolder } = await import("../store/data-folder.ts");
  try {
    if (!existsSync(data)) {
      throw new OperatingError("data-folder-unusable", `there is no data folder ${data}`);
    }
    const folder = openDataFolder(data);
    try {
      if (!existsSync(folder.storePath)) {
        throw new OperatingError("data-folder-unusable", `there is no store ${folder.storePath}`);
      }
      return await use(folder.storePath);
    } finally {
      folder.close();
    }
  } catch (error) {
    if (!(error instanceof OperatingError)) throw error;
    process.stderr.write(`rillmq: ${error.message}\n`);
    return error.code === "data-folder-in-use" ? ExitCode.dataInUse : ExitCode.dataUnusable;
  }
}

const say = (line: string): boolean => process.stdout.write(`${line}\n`);

async function runCheck(options: StoreOptions): Promise<number> {
  return withStore(options, async (path) => {
    const { checkStore } = await import("../store/salvage/store-check.ts");
    const report = checkStore(path, progressOnTerminal());
    const exitCode = report.isIntact ? ExitCode.fine : ExitCode.negative;
    if (options.json === true) {
      say(JSON.stringify(report));
      return exitCode;
    }
    for (const fault of report.faults) say(`fault: ${fault}`);
    for (const { table, page, why } of report.damagedPages.slice(0, RANGES_SHOWN_MAX)) {
      say(`damaged page ${page} of ${table}: ${why}`);
    }
    const more = report.damagedPagesCount - RANGES_SHOWN_MAX;
    if (more > 0) say(`and ${more} more pages`);
    for (const { log, records, damaged, lost } of report.logs) {
      say(
        `${log}: ${records} records${rangesText(", damaged", damaged)}${rangesText(", lost before", lost)}`,
      );
    }
    say(`${report.metaRows} rows of sessions and progress, ${report.retained} retained messages`);
    say(report.isIntact ? "intact" : "damaged");
    return exitCode;
  });
}

function rangesText(
  title: string,
  ranges: readonly { readonly from: number; readonly to: number }[],
): string {
  if (ranges.length === 0) return "";
  const shown = ranges.slice(0, RANGES_SHOWN_MAX).map(({ from, to }) => `${from}..${to}`);
  const more = ranges.length - shown.length;
  return `${title} ${shown.join(" ")}${more > 0 ? ` and ${more} more` : ""}`;
}

/** A line that is written over, for people. */
function progressOnTerminal(): (bytes: number) => void {
  let bytes = 0;
  let saidAt = performance.now();
  return (more) => {
    bytes += more;
    if (!process.stderr.isTTY || performance.now() - saidAt < 1_000) return;
    saidAt = performance.now();
    process.stderr.write(`\r${Math.round(bytes / 1_048_576)} MiB read `);
  };
}

async function runSalvage(options: StoreOptions): Promise<number> {
  return withStore(options, async (path) => {
    const { mendStore, thisProgram } = await import("../store/salvage/mend-store.ts");
    const { lostText } = await import("../store/salvage/salvage-report.ts");
    const mended = await mendStore({
      path,
      program: thisProgram(),
      onProgress: (work, bytes) => {
        process.stderr.write(`${work}: ${Math.round(bytes / 1_048_576)} MiB\n`);
      },
      isForced: true,
    });
    if (mended === undefined) return ExitCode.dataUnusable;
    const { report, damagedPath, reportPath } = mended;
    if (options.json === true) say(JSON.stringify({ ...report, damagedPath, reportPath }));
    else {
      const records = report.logs.reduce((sum, log) => sum + log.records, 0);
      say(
        `${records} records, ${report.meta.sessions} sessions, ${report.retained.rows} retained messages`,
      );
      say(`lost: ${lostText(report)}`);
      say(`the file as it was: ${damagedPath}`);
      say(`report: ${reportPath}`);
    }
    return ExitCode.fine;
  });
}

/** `rillmq store`: looks at, and salvages, the store of a broker that does not run. */
export function addStoreCommand(program: Command, done: (exitCode: number) => void): void {
  const store = program.command("store").description("Looks at the store of a stopped broker.");
  store
    .command("check")
    .description(
      "Reads all of it and changes nothing; exits 0 when it is intact, 1 when it is not.",
    )
    .option("--data <dir>", 'data folder (default RILLMQ_DATA, else "./data")')
    .option("--json", "print what was found as one JSON line")
    .action(async (options: StoreOptions) => done(await runCheck(options)));
  store
    .command("salvage")
    .description(
      "Replaces it by what can be found in it without trusting its tree. The file is kept as store.mdb.damaged-…; serve does this by itself when it must.",
    )
    .option("--data <dir>", 'data folder (default RILLMQ_DATA, else "./data")')
    .option("--json", "print the report as one JSON line")
    .action(async (options: StoreOptions) => done(await runSalvage(options)));
  // What both and serve do in a process of its own.
  store
    .command("work", { hidden: true })
    .addArgument(new Argument("<work>").choices(WORKS))
    .argument("<file>")
    .argument("[out]")
    .action(async (work: Work, file: string, out = "") => {
      const { doStoreWork } = await import("../store/salvage/store-work.ts");
      done(await doStoreWork(work, file, out));
    });
}
