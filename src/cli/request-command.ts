import { type ChildProcess, spawn } from "node:child_process";
import type { Command } from "commander";
import type { IncomingRequest } from "../client/node.ts";
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
  printMessage,
  UsageError,
  withNativeClient,
} from "./native-client.ts";
import { secondsValue } from "./option-values.ts";

interface RequestOptions extends NativeOptions, PayloadOptions {
  readonly deadline: number;
  readonly cacheKey?: string;
  readonly cacheTtl?: number;
}

interface RespondOptions extends NativeOptions, PayloadOptions {
  readonly group?: string;
  readonly echo?: boolean;
  readonly exec?: string;
}

/** Most bytes a program may answer with. */
const OUTPUT_BYTES_MAX = 1_048_576;

async function request(
  topic: string,
  options: RequestOptions,
  { client, signal }: NativeWork,
): Promise<ExitCode> {
  const payload = await payloadOf(options);
  const reply = await client.requests.request(
    topic,
    { payload },
    {
      signal,
      timeoutMs: options.deadline * 1_000,
      ...given({ cacheKey: options.cacheKey, cacheTtlMs: msOf(options.cacheTtl) }),
    },
  );
  printMessage(reply, options);
  return ExitCode.fine;
}

/** What a program writes when it reads the request. @throws Error when it fails or says too much */
function outputOf(command: string, { payload, topic, signal }: IncomingRequest): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, RILL_TOPIC: topic };
    const child: ChildProcess = spawn(command, {
      shell: true,
      env,
      stdio: ["pipe", "pipe", "inherit"],
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    const onAbort = (): void => void child.kill();
    signal.addEventListener("abort", onAbort, { once: true });
    child.stdout?.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= OUTPUT_BYTES_MAX) chunks.push(chunk);
      else child.kill();
    });
    // It may not read all of it, or nothing.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(payload ?? "");
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0 && bytes <= OUTPUT_BYTES_MAX) resolve(Buffer.concat(chunks));
      else
        reject(
          new Error(code === null ? "the program was ended" : `the program ended with ${code}`),
        );
    });
  });
}

async function respond(
  filter: string,
  options: RespondOptions,
  { client, signal }: NativeWork,
): Promise<ExitCode> {
  const { echo, exec, group, message, file } = options;
  const ways = [echo === true, exec !== undefined, message !== undefined || file !== undefined];
  if (ways.filter(Boolean).length !== 1) {
    throw new UsageError("say what to answer with --message, --file, --echo or --exec");
  }
  const fixed = ways[2] === true ? await payloadOf(options) : undefined;
  const responder = await client.requests.respond(
    filter,
    async (incoming) => {
      printMessage(incoming, options);
      if (fixed !== undefined) return fixed;
      return exec === undefined ? (incoming.payload ?? "") : await outputOf(exec, incoming);
    },
    { signal, ...given({ group }) },
  );
  await responder.ended;
  return ExitCode.fine;
}

/** `rillmq request` and `rillmq respond`. */
export function addRequestCommands(program: Command, done: (exitCode: number) => void): void {
  addPayloadOptions(addNativeOptions(program.command("request")))
    .description("Asks and prints the reply; exits 1 when nobody answers in time.")
    .argument("<topic>", "topic of the request")
    .option("--deadline <seconds>", "how long the responder has", secondsValue, 10)
    .option("--cache-key <key>", "a reply under this key that is young enough is the answer")
    .option("--cache-ttl <seconds>", "how long the reply is remembered", secondsValue)
    .action(async (topic: string, options: RequestOptions) => {
      const work = (given: NativeWork) => request(topic, options, given);
      done(await withNativeClient("request", options, false, work, msOf(options.deadline)));
    });
  addPayloadOptions(addNativeOptions(program.command("respond")))
    .description("Prints requests and answers them until it is interrupted.")
    .argument("<filter>", "topic filter of requests")
    .option("--group <name>", "one member of each group is asked")
    .option("--echo", "answer with what was asked")
    .option("--exec <command>", "answer with what a program writes that reads the request")
    .action(async (filter: string, options: RespondOptions) => {
      const work = (given: NativeWork) => respond(filter, options, given);
      done(await withNativeClient("respond", options, true, work));
    });
}
