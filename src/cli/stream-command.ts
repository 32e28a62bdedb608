import { type Command, InvalidArgumentError, Option } from "commander";
import type { LostRange, Start, StreamSettings } from "../client/node.ts";
import { ExitCode } from "./exit-code.ts";
import {
  addNativeOptions,
  addPayloadOptions,
  given,
  msOf,
  type NativeOptions,
  type NativeWork,
  type PayloadOptions,
  payloadOf,
  printFields,
  printJson,
  printMessage,
  printPages,
  withNativeClient,
} from "./native-client.ts";
import { collect, countValue, secondsValue } from "./option-values.ts";

type Done = (exitCode: number) => void;

interface SettingsOptions extends NativeOptions {
  readonly filter?: string[];
  readonly maxBytes?: number;
  readonly maxMessages?: number;
  readonly maxAge?: number;
  readonly whenFull?: "reject" | "drop-oldest";
  readonly retain?: "limits" | "until-delivered";
}

interface AppendOptions extends NativeOptions, PayloadOptions {
  readonly topic?: string;
  readonly messageId?: string;
  readonly expectedSequence?: number;
}

interface ReadOptions extends NativeOptions {
  readonly from?: Start;
  readonly filter?: string;
  readonly max: number;
}

interface ConsumeOptions extends NativeOptions {
  readonly from?: Start;
  readonly filter?: string;
  readonly consumer?: string;
  readonly group?: boolean;
  readonly count?: number;
}

const settingsOf = (options: SettingsOptions): StreamSettings =>
  given({
    filters: options.filter,
    maxBytes: options.maxBytes,
    maxMessages: options.maxMessages,
    maxAgeMs: msOf(options.maxAge),
    whenFull: options.whenFull,
    retain: options.retain,
  });

/** Where to begin, as people write it. */
function startValue(text: string): Start {
  if (text === "first" || text === "last" || text === "new") return { at: text };
  if (/^\d{1,15}$/.test(text)) return { sequence: Number(text) };
  const ago = /^-(\d{1,9})s$/.exec(text);
  if (ago !== null) return { agoMs: Number(ago[1]) * 1_000 };
  const timeAt = Date.parse(text);
  if (timeAt >= 0) return { timeAt };
  throw new InvalidArgumentError("Expected first, last, new, a sequence, -60s or an ISO time.");
}

const fromOption = (preset: string): Option =>
  new Option(
    "--from <start>",
    `first, last, new, a sequence, -60s or an ISO time (default: ${preset})`,
  ).argParser(startValue);

function reportLost(command: string, ranges: readonly LostRange[]): void {
  for (const [first, last] of ranges) {
    process.stderr.write(`rillmq stream ${command}: lost ${first} to ${last}\n`);
  }
}

/** Prints what is there now: an answer has about 128 KiB at most, and looks at so many records at most, so it is asked for until the end. */
async function read(
  stream: string,
  options: ReadOptions,
  { client, signal }: NativeWork,
): Promise<ExitCode> {
  const { nextSequence } = await client.streams.info(stream, { signal });
  const { filter } = options;
  let { from } = options;
  let left = options.max;
  for (let before = -1; left > 0; ) {
    const max = Math.min(left, client.limits?.batchMax ?? 1);
    const call = { signal, max, ...given({ from, filter }) };
    const { records, next, lost } = await client.streams.read(stream, call);
    for (const record of records) printMessage(record, options);
    reportLost("read", lost);
    left -= records.length;
    if (next >= Number(nextSequence) || next === before) break;
    before = next;
    from = { sequence: next };
  }
  return left < options.max ? ExitCode.fine : ExitCode.negative;
}

async function consume(
  stream: string,
  options: ConsumeOptions,
  { client, signal }: NativeWork,
): Promise<ExitCode> {
  const { from, filter, consumer, group, count = Number.POSITIVE_INFINITY } = options;
  const records = await client.streams.consume(stream, {
    signal,
    ...given({ from, filter, consumer, isGroup: group }),
    onLost: (ranges) => reportLost("consume", ranges),
  });
  let left = count;
  for await (const record of records) {
    printMessage(record, options);
    if (consumer !== undefined) await record.ack();
    if (--left <= 0) break;
  }
  return ExitCode.fine;
}

const addSettings = (command: Command): Command =>
  addNativeOptions(command)
    .argument("<stream>", "its name")
    .option("--filter <filter>", "topics it captures; may be repeated", collect)
    .option("--max-bytes <n>", "most bytes", countValue)
    .option("--max-messages <n>", "most messages", countValue)
    .option("--max-age <seconds>", "longest age", secondsValue)
    .addOption(new Option("--when-full <policy>", "what then").choices(["reject", "drop-oldest"]))
    .addOption(
      new Option("--retain <policy>", "what is kept").choices(["limits", "until-delivered"]),
    );

function addManaging(stream: Command, done: Done): void {
  addNativeOptions(stream.command("ls"))
    .description("Lists streams.")
    .action(async (options: NativeOptions) => {
      const list = ({ client, signal }: NativeWork) =>
        printPages(
          (after) => client.streams.list({ signal, ...given({ after }) }),
          "streams",
          options,
        ).then(() => ExitCode.fine);
      done(await withNativeClient("stream ls", options, false, list));
    });
  for (const verb of ["create", "update"] as const) {
    addSettings(stream.command(verb))
      .description(verb === "create" ? "Makes a stream." : "Changes settings of a stream.")
      .action(async (name: string, options: SettingsOptions) => {
        const work = async ({ client, signal }: NativeWork): Promise<ExitCode> => {
          await client.streams[verb](name, settingsOf(options), { signal });
          return ExitCode.fine;
        };
        done(await withNativeClient(`stream ${verb}`, options, false, work));
      });
  }
  addNativeOptions(stream.command("info"))
    .description("Shows a stream.")
    .argument("<stream>", "its name")
    .action(async (name: string, options: NativeOptions) => {
      const work = async ({ client, signal }: NativeWork): Promise<ExitCode> => {
        printFields(await client.streams.info(name, { signal }), options);
        return ExitCode.fine;
      };
      done(await withNativeClient("stream info", options, false, work));
    });
  addNativeOptions(stream.command("purge"))
    .description("Removes records of a stream.")
    .argument("<stream>", "its name")
    .option("--before <sequence>", "the first one that stays (default: none stays)", countValue)
    .action(async (name: string, options: NativeOptions & { before?: number }) => {
      const work = async ({ client, signal }: NativeWork): Promise<ExitCode> => {
        printFields(await client.streams.purge(name, options.before, { signal }), options);
        return ExitCode.fine;
      };
      done(await withNativeClient("stream purge", options, false, work));
    });
  addNativeOptions(stream.command("rm"))
    .description("Removes a stream and its records.")
    .argument("<stream>", "its name")
    .action(async (name: string, options: NativeOptions) => {
      const work = async ({ client, signal }: NativeWork): Promise<ExitCode> => {
        await client.streams.delete(name, { signal });
        return ExitCode.fine;
      };
      done(await withNativeClient("stream rm", options, false, work));
    });
}

function addRecords(stream: Command, done: Done): void {
  addPayloadOptions(addNativeOptions(stream.command("append")))
    .description("Appends a record, waits until it is on disk and prints its sequence.")
    .argument("<stream>", "its name")
    .option("--topic <topic>", "topic of the record (default: the stream's name)")
    .option("--message-id <id>", "the same id is appended once")
    .option("--expected-sequence <n>", "refuse it when it would get another sequence", countValue)
    .action(async (name: string, options: AppendOptions) => {
      const work = async ({ client, signal }: NativeWork): Promise<ExitCode> => {
        const { topic, messageId, expectedSequence } = options;
        const message = { payload: await payloadOf(options), ...given({ topic, messageId }) };
        const call = { signal, ...given({ expectedSequence }) };
        const sequence = await client.streams.append(name, message, call);
        if (options.json === true) printJson({ sequence });
        else process.stdout.write(`${sequence}\n`);
        return ExitCode.fine;
      };
      done(await withNativeClient("stream append", options, false, work));
    });
  addNativeOptions(stream.command("read"))
    .description("Prints records that are there now; exits 1 when there is none.")
    .argument("<stream>", "its name")
    .addOption(fromOption("first"))
    .option("--filter <filter>", "only records whose topics match")
    .option("--max <n>", "most records", countValue, 100)
    .action(async (name: string, options: ReadOptions) => {
      const work = (given: NativeWork) => read(name, options, given);
      done(await withNativeClient("stream read", options, false, work));
    });
  addNativeOptions(stream.command("consume"))
    .description(
      "Prints records as they come until it is interrupted; goes on after a lost connection.",
    )
    .argument("<stream>", "its name")
    .addOption(fromOption("new"))
    .option("--filter <filter>", "only records whose topics match")
    .option("--consumer <name>", "durable: what is printed is acknowledged")
    .option("--group", "share the consumer with others")
    .option("--count <n>", "stop after this many", countValue)
    .action(async (name: string, options: ConsumeOptions) => {
      const work = (given: NativeWork) => consume(name, options, given);
      done(await withNativeClient("stream consume", options, true, work));
    });
}

/** `rillmq stream ls|create|update|info|purge|rm|append|read|consume`. */
export function addStreamCommand(program: Command, done: Done): void {
  const stream = program.command("stream").description("Works with streams of a broker.");
  addManaging(stream, done);
  addRecords(stream, done);
}
