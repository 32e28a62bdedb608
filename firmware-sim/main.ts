import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { Fleet, type FleetProgress, type Protocol } from "./fleet.ts";
import { DEFAULT_PROFILE, decodeProfile, type Profile, scaleProfile } from "./profile.ts";
import { ProgressLine } from "./progress-line.ts";
import { alignColumns, grouped } from "./table.ts";

const EXIT_ALL_ACKNOWLEDGED = 0;
const EXIT_NOT_ACKNOWLEDGED = 1;
const EXIT_USAGE = 2;
const DONE_CHECK_MS = 50;

interface Flags {
  readonly url: string;
  readonly devices?: number;
  readonly messages: number;
  readonly rate: number;
  readonly outstanding: number;
  readonly seed: number;
  readonly profile?: Profile;
  readonly protocol: Protocol;
  readonly timeout: number;
  readonly json?: true;
}

const integer =
  (low: number, high: number) =>
  (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= low && value <= high) return value;
    throw new InvalidArgumentError(`a whole number from ${low} to ${high} is needed`);
  };

const number =
  (above: number, high: number) =>
  (text: string): number => {
    const value = Number(text);
    if (text !== "" && value > above && value <= high) return value;
    throw new InvalidArgumentError(`a number above ${above}, at most ${high}, is needed`);
  };

function urlOf(text: string): string {
  if (URL.canParse(text) && new URL(text).protocol === "mqtt:") return text;
  throw new InvalidArgumentError("mqtt://HOST:PORT is needed");
}

function profileOf(text: string): Profile {
  try {
    return decodeProfile(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

function buildCommand(): Command {
  return new Command("sim")
    .description(
      "A fleet of simulated devices publishes to an MQTT broker and counts what is acknowledged.",
    )
    .option("--url <url>", "broker to publish to", urlOf, "mqtt://127.0.0.1:1883")
    .option(
      "--devices <count>",
      "devices in all, in the proportions of the profile",
      integer(1, 10_000),
    )
    .option("--messages <count>", "messages of the whole fleet", integer(1, 10_000_000), 10_000)
    .option("--rate <perSecond>", "messages per second and device", number(0, 100_000), 50)
    .option(
      "--outstanding <count>",
      "most unacknowledged messages per device",
      integer(1, 10_000),
      20,
    )
    .option("--seed <number>", "same seed, same fleet", integer(0, 0xffff_ffff), 1)
    .option("--profile <kinds>", `kinds and counts (default: ${DEFAULT_PROFILE})`, profileOf)
    .addOption(
      new Option("--protocol <version>", "MQTT 3.1.1 (4), 5.0 (5) or both by turns")
        .choices(["4", "5", "mixed"])
        .default("5"),
    )
    .option("--timeout <seconds>", "give up after", number(0, 86_400), 300)
    .option("--json", "print one JSON object and nothing else on standard output")
    .allowExcessArguments(false)
    .exitOverride();
}

function progressText(progress: FleetProgress): string {
  const { connected, devices, published, messages, acknowledged, drops, refusals } = progress;
  return (
    `${connected}/${devices} connected · ${grouped(published)}/${grouped(messages)} published · ` +
    `${grouped(acknowledged)} acknowledged · ${drops} drops · ${refusals} refused`
  );
}

function summaryText(fleet: Fleet, seconds: number): string {
  const progress = fleet.progress();
  const perKind = new Map<string, { devices: number; published: number; acknowledged: number }>();
  for (const ledger of fleet.ledgers) {
    const key = `${ledger.kind} (QoS ${ledger.qos})`;
    const row = perKind.get(key) ?? { devices: 0, published: 0, acknowledged: 0 };
    row.devices += 1;
    row.published += ledger.published;
    row.acknowledged += ledger.acknowledged.size;
    perKind.set(key, row);
  }
  const rows = [["kind", "devices", "published", "acknowledged", ""]];
  for (const [kind, row] of perKind) {
    rows.push([kind, grouped(row.devices), grouped(row.published), grouped(row.acknowledged), ""]);
  }
  const { devices, published, acknowledged } = progress;
  rows.push(["all", grouped(devices), grouped(published), grouped(acknowledged), ""]);
  const perSecond = grouped(acknowledged / Math.max(seconds, 0.001));
  return [
    ...alignColumns(rows),
    `${seconds.toFixed(1)} s, ${perSecond} acknowledged per second, ${progress.connects} connects, ` +
      `${progress.drops} dropped by radios, ${progress.sessionsLost} sessions forgotten, ${progress.refusals} refused`,
    ...fleet.errors.map((error) => `last error: ${error}`),
  ].join("\n");
}

/** Resolves when the fleet is done, the time is over or `signal` fires. */
async function untilDone(fleet: Fleet, timeoutMs: number, signal: AbortSignal): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      if (!fleet.isDone && !signal.aborted && performance.now() < endMs) return;
      clearInterval(timer);
      resolve();
    }, DONE_CHECK_MS);
  });
}

async function run(flags: Flags): Promise<number> {
  const profile = flags.profile ?? decodeProfile(DEFAULT_PROFILE);
  const fleet = new Fleet({
    url: flags.url,
    profile: flags.devices === undefined ? profile : scaleProfile(profile, flags.devices),
    messages: flags.messages,
    ratePerSecond: flags.rate,
    outstandingMax: flags.outstanding,
    seed: flags.seed,
    protocol: flags.protocol,
    run: Date.now().toString(36),
  });
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => interrupted.abort());
  }
  const out = flags.json ? process.stderr : process.stdout;
  const line = new ProgressLine(out, () => progressText(fleet.progress()));
  const startedMs = performance.now();
  fleet.start();
  line.start();
  await untilDone(fleet, flags.timeout * 1_000, interrupted.signal);
  const seconds = (performance.now() - startedMs) / 1_000;
  line.stop();
  const progress = fleet.progress();
  const isComplete = fleet.isDone && progress.acknowledged === flags.messages;
  await fleet.stop();
  if (flags.json) {
    const result = { ...progress, seed: flags.seed, seconds, isComplete, errors: fleet.errors };
    process.stdout.write(`${JSON.stringify(result)}\n`);
  } else out.write(`${summaryText(fleet, seconds)}\n`);
  return isComplete ? EXIT_ALL_ACKNOWLEDGED : EXIT_NOT_ACKNOWLEDGED;
}

async function main(): Promise<number> {
  const command = buildCommand();
  try {
    command.parse();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : EXIT_USAGE;
  }
  return await run(command.opts<Flags>());
}

process.exitCode = await main();
