import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, CommanderError, Option } from "commander";
import type { Centre } from "./central/centre.ts";
import { MqttCentre } from "./central/mqtt-centre.ts";
import { NatsCentre } from "./central/nats-centre.ts";
import { isNatsServerInstalled } from "./central/nats-cluster.ts";
import { type DemoFacts, demandsOf, reportText } from "./demo-report.ts";
import { Story, type StoryOutcome } from "./demo-story.ts";
import { integerFrom } from "./option-values.ts";
import { ProgressLine } from "./progress-line.ts";
import { falsify, type Sabotage } from "./sabotage.ts";
import { checkSink } from "./sink-check.ts";
import { grouped } from "./table.ts";
import { isOpensslInstalled } from "./tls-material.ts";
import { Patience, StoryError } from "./wait-for.ts";

const EXIT_PROVED = 0;
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_MISSING_PROGRAM = 3;
const EXIT_INTERRUPTED = 130;
const SECONDS_MAX = 180;
const LOG_LINES = 25;

interface Flags {
  readonly central: "mqtt" | "nats";
  readonly seed: number;
  readonly messages: number;
  readonly sabotage?: Sabotage;
  readonly tls?: true;
  readonly bin: string;
  readonly json?: true;
}

function buildCommand(): Command {
  return new Command("demo")
    .description(
      "Devices publish through an edge to a centre while the uplink fails and the edge is killed. Exits 1 unless nothing is lost.",
    )
    .addOption(
      new Option("--central <kind>", "embedded MQTT broker, or a NATS cluster of three nodes")
        .choices(["mqtt", "nats"])
        .default("mqtt"),
    )
    .option(
      "--seed <number>",
      "same seed, same devices and readings",
      integerFrom(0, 0xffff_ffff),
      1,
    )
    .option("--messages <count>", "messages of all devices", integerFrom(100, 200_000), 10_000)
    .option(
      "--tls",
      "devices connect over TLS, with an authority made for this run (needs openssl)",
    )
    .addOption(
      new Option(
        "--sabotage <how>",
        "falsify what was read at the centre; the demo must exit 1",
      ).choices(["drop", "double"]),
    )
    .option("--bin <file>", "broker to run", join(import.meta.dirname, "..", "bin", "rillmq.js"))
    .option("--json", "print one JSON object with all counts on standard output")
    .allowExcessArguments(false)
    .exitOverride();
}

function liveText(story: Story, centre: Centre, patience: Patience): string {
  const progress = story.fleet?.progress();
  const backlog = story.edge.ready === undefined ? "edge down" : grouped(story.metrics.lag ?? 0);
  return (
    `${patience.elapsedSeconds.toFixed(1).padStart(6)} s    published ${grouped(progress?.published ?? 0)} · ` +
    `acknowledged ${grouped(progress?.acknowledged ?? 0)} · backlog ${backlog} · ` +
    `at the centre ${grouped(centre.arrived())}`
  );
}

/** Compares, prints the result and says how the demo ends. */
function conclude(flags: Flags, facts: Omit<DemoFacts, "sink">, story: Story, seconds: number) {
  const ledgers = story.fleet?.ledgers ?? [];
  const { records } = facts.outcome.contents;
  const sink = checkSink(
    ledgers,
    flags.sabotage === undefined ? records : falsify(records, ledgers, flags.sabotage),
  );
  const demands = demandsOf({ ...facts, sink });
  const isProved = demands.every(({ isMet }) => isMet);
  if (flags.json) {
    const { contents, ...outcome } = facts.outcome;
    const result = {
      isProved,
      central: flags.central,
      tls: flags.tls === true,
      seed: flags.seed,
      sabotage: flags.sabotage ?? null,
      seconds,
      ...sink,
      duplicated: sink.duplicated ?? null,
      accepted: contents.accepted,
      ...outcome,
      fleet: facts.fleet,
      demands,
    };
    process.stdout.write(`${JSON.stringify(result)}\n`);
  } else {
    process.stdout.write(`${reportText({ ...facts, sink }, demands, seconds)}\n`);
    const verdict = isProved ? "Everything acknowledged reached the centre." : "NOT PROVED.";
    process.stdout.write(
      `${flags.sabotage === undefined ? "" : `(sabotaged: ${flags.sabotage}) `}${verdict}\n`,
    );
  }
  return isProved;
}

class Demo {
  readonly #flags: Flags;
  readonly #centre: Centre;
  readonly #folder = mkdtempSync(join(tmpdir(), "rillmq-demo-"));
  readonly #patience: Patience;
  readonly #story: Story;
  readonly #line: ProgressLine;
  #isInterrupted = false;

  constructor(flags: Flags) {
    this.#flags = flags;
    const centre = flags.central === "nats" ? new NatsCentre() : new MqttCentre();
    this.#centre = centre;
    this.#patience = new Patience(SECONDS_MAX, () =>
      this.#isInterrupted ? "interrupted" : this.#story.edge.failure,
    );
    this.#story = new Story({
      centre,
      bin: flags.bin,
      folder: this.#folder,
      messages: flags.messages,
      seed: flags.seed,
      tls: flags.tls === true,
      patience: this.#patience,
      tell: (text) => this.#tell(text),
    });
    this.#line = new ProgressLine(flags.json ? process.stderr : process.stdout, () =>
      liveText(this.#story, centre, this.#patience),
    );
  }

  async run(): Promise<number> {
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      process.on(name, () => {
        this.#isInterrupted = true;
      });
    }
    process.once("exit", () => this.#story.edge.killNow());
    this.#line.start();
    let exitCode = EXIT_FAILED;
    let isTold = false;
    try {
      const outcome = await this.#story.run();
      this.#line.stop();
      isTold = true;
      if (this.#conclude(outcome)) exitCode = EXIT_PROVED;
    } catch (error) {
      this.#line.stop();
      this.#tell(`FAILED: ${error instanceof StoryError ? error.message : String(error)}`);
      for (const text of this.#story.fleet?.errors ?? []) this.#tell(`a device says: ${text}`);
      if (this.#isInterrupted) exitCode = EXIT_INTERRUPTED;
    }
    await this.#clear(exitCode === EXIT_FAILED && !(isTold && this.#flags.sabotage !== undefined));
    return exitCode;
  }

  #conclude(outcome: StoryOutcome): boolean {
    const { fleet } = this.#story;
    if (fleet === undefined) return false;
    const tls = this.#flags.tls === true;
    const facts = { centre: this.#centre, outcome, fleet: fleet.progress(), tls };
    return conclude(this.#flags, facts, this.#story, this.#patience.elapsedSeconds);
  }

  /** Stops everything; after a failure the folder stays. */
  async #clear(hasFailed: boolean): Promise<void> {
    await this.#story.close();
    await this.#centre.close();
    if (hasFailed) {
      this.#tell(`the last lines of the edge's log; all of it and its data are in ${this.#folder}`);
      for (const line of this.#story.edge.lastLog(LOG_LINES)) this.#tell(`  ${line}`);
    } else rmSync(this.#folder, { recursive: true, force: true });
  }

  #tell(text: string): void {
    this.#line.print(`[${this.#patience.elapsedSeconds.toFixed(1).padStart(5)} s] ${text}`);
  }
}

/** What the flags ask for and is not installed. */
function missingProgram({ central, tls }: Flags): string | undefined {
  if (central === "nats" && !isNatsServerInstalled()) {
    return "--central nats needs nats-server (2.9 or later) on the path; it was not found";
  }
  if (tls && !isOpensslInstalled()) return "--tls needs openssl on the path; it was not found";
  return undefined;
}

async function main(): Promise<number> {
  const command = buildCommand();
  try {
    command.parse();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? EXIT_PROVED : EXIT_USAGE;
  }
  const flags = command.opts<Flags>();
  const missing = missingProgram(flags);
  if (missing !== undefined) {
    process.stderr.write(`demo: ${missing}\n`);
    return EXIT_MISSING_PROGRAM;
  }
  return await new Demo(flags).run();
}

const exitCode = await main();
// Not by itself: Node 20 can spin for ever in its own clean-up when sockets were reset with writes pending.
process.stdout.write("", () => process.exit(exitCode));
