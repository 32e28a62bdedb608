import { readFile } from "node:fs/promises";
import { type Command, Option } from "commander";
import { ExitCode } from "./exit-code.ts";
import {
  addConnectOptions,
  type ConnectOptions,
  qosOption,
  Refusal,
  withClient,
} from "./mqtt-client.ts";
import { secondsValue } from "./option-values.ts";

interface PubOptions extends ConnectOptions {
  readonly topic: string;
  readonly message?: string;
  readonly file?: string;
  readonly qos: "0" | "1" | "2";
  readonly retain?: boolean;
  readonly timeout: number;
}

function usage(reason: string): number {
  process.stderr.write(`rillmq pub: ${reason}\n`);
  return ExitCode.usage;
}

async function payloadOf(options: PubOptions): Promise<string | Buffer | undefined> {
  if (options.file === undefined) return options.message;
  try {
    return await readFile(options.file === "-" ? "/dev/stdin" : options.file);
  } catch {
    return undefined;
  }
}

async function runPub(options: PubOptions): Promise<number> {
  if (options.message === undefined && options.file === undefined) {
    return usage("give the payload with --message or --file");
  }
  const payload = await payloadOf(options);
  if (payload === undefined) return usage(`cannot read ${options.file ?? ""}`);
  try {
    await withClient(options, options.timeout * 1_000, (client) =>
      client.publishAsync(options.topic, payload, {
        qos: options.qos === "0" ? 0 : options.qos === "1" ? 1 : 2,
        retain: options.retain === true,
      }),
    );
    return ExitCode.fine;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    process.stderr.write(`rillmq pub: ${error.message}\n`);
    return ExitCode.negative;
  }
}

/** `rillmq pub`: publishes one message and waits for its acknowledgement. */
export function addPubCommand(program: Command, done: (exitCode: number) => void): void {
  addConnectOptions(program.command("pub"))
    .description(
      "Publishes one message and waits for its acknowledgement; exits 1 with the reason when it is refused or times out.",
    )
    .requiredOption("--topic <topic>", "topic")
    .addOption(new Option("--message <text>", "payload").conflicts("file"))
    .addOption(new Option("--file <path>", 'payload from a file, "-" for standard input'))
    .addOption(qosOption("1"))
    .option("--retain", "keep it as the topic's retained message")
    .option("--timeout <seconds>", "give up after this long", secondsValue, 10)
    .action(async (options: PubOptions) => done(await runPub(options)));
}
