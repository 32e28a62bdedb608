import type { Command } from "commander";
import type { QueueMessage, QueueSettings, RillClient } from "../client/node.ts";
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
  UsageError,
  withNativeClient,
} from "./native-client.ts";
import { collect, countValue, secondsValue } from "./option-values.ts";

type Done = (exitCode: number) => void;

interface SettingsOptions extends NativeOptions {
  readonly filter?: string[];
  readonly maxBytes?: number;
  readonly maxMessages?: number;
  readonly deliveriesMax?: number;
  readonly deadLetterQueue?: string;
  readonly visibility?: number;
  readonly expiry?: number;
}

interface SendOptions extends NativeOptions, PayloadOptions {
  readonly topic?: string;
  readonly delay?: number;
  readonly expiry?: number;
  readonly messageId?: string;
}

interface ReceiveOptions extends NativeOptions {
  readonly max: number;
  readonly wait?: number;
  readonly follow?: boolean;
  readonly ack: boolean;
  readonly visibility?: number;
}

/** Messages that `move` takes at a time. */
const MOVED_AT_ONCE = 100;

const settingsOf = (options: SettingsOptions): QueueSettings =>
  given({
    filters: options.filter,
    maxBytes: options.maxBytes,
    maxMessages: options.maxMessages,
    deliveriesMax: options.deliveriesMax,
    deadLetterQueue: options.deadLetterQueue,
    visibilityMs: msOf(options.visibility),
    expiryMs: msOf(options.expiry),
  });

/** Prints it first: who pipes it on has it before the broker forgets it. */
async function printAndSettle(message: QueueMessage, options: ReceiveOptions): Promise<void> {
  printMessage(message, options);
  if (options.ack) await message.ack();
  else await message.reject();
}

async function receive(
  queue: string,
  options: ReceiveOptions,
  { client, signal }: NativeWork,
): Promise<ExitCode> {
  const visibility = given({ visibilityMs: msOf(options.visibility) });
  if (options.follow === true) {
    const messages = await client.queues.subscribe(queue, { signal, ...visibility });
    for await (const message of messages) await printAndSettle(message, options);
    return ExitCode.fine;
  }
  const messages: QueueMessage[] = [];
  let waitMs = msOf(options.wait) ?? 0;
  // An answer has about 128 KiB at most: what is there is asked for until it is as much as was wanted.
  while (messages.length < options.max) {
    const max = Math.min(options.max - messages.length, client.limits?.batchMax ?? 1);
    const call = { max, waitMs, signal, ...visibility };
    const some = await client.queues.receive(queue, call);
    if (some.length === 0) break;
    messages.push(...some);
    waitMs = 0;
  }
  for (const message of messages) await printAndSettle(message, options);
  return messages.length > 0 ? ExitCode.fine : ExitCode.negative;
}

async function peek(
  queue: string,
  options: NativeOptions & { readonly max: number; readonly from?: number },
  { client, signal }: NativeWork,
): Promise<void> {
  let { from, max: left } = options;
  while (left > 0) {
    const max = Math.min(left, client.limits?.batchMax ?? 1);
    const messages = await client.queues.peek(queue, { max, signal, ...given({ from }) });
    for (const message of messages) printMessage(message, options);
    const last = messages.at(-1);
    if (last === undefined) return;
    from = last.sequence + 1;
    left -= messages.length;
  }
}

/** Moves what nobody has in hands, as many as there are now; each in one commit. */
async function move(
  client: RillClient,
  from: string,
  to: string,
  most: number,
  signal: AbortSignal,
  onMoved: (count: number) => void,
): Promise<void> {
  const { waiting } = await client.queues.info(from, { signal });
  const total = Math.min(most, Number(waiting));
  let moved = 0;
  while (moved < total) {
    const max = Math.min(MOVED_AT_ONCE, total - moved);
    const messages = await client.queues.receive(from, { max, signal });
    if (messages.length === 0) break;
    const done = await Promise.allSettled(messages.map((message) => message.requeue({ to })));
    const failure = done.find((one) => one.status === "rejected");
    moved += done.filter((one) => one.status === "fulfilled").length;
    onMoved(moved);
    if (failure !== undefined) throw failure.reason;
  }
}

const addSettings = (command: Command): Command =>
  addNativeOptions(command)
    .argument("<queue>", "its name")
    .option(
      "--filter <filter>",
      "MQTT publishes that match go there, too; may be repeated",
      collect,
    )
    .option("--max-bytes <n>", "most bytes", countValue)
    .option("--max-messages <n>", "most messages", countValue)
    .option("--deliveries-max <n>", "deliveries without ack before it is a dead letter", countValue)
    .option("--dead-letter-queue <queue>", "where dead letters go")
    .option("--visibility <seconds>", "how long a delivery is hidden from others", secondsValue)
    .option("--expiry <seconds>", "how long a message lives", secondsValue);

function addManaging(queue: Command, done: Done): void {
  addNativeOptions(queue.command("ls"))
    .description("Lists queues.")
    .action(async (options: NativeOptions) => {
      const list = ({ client, signal }: NativeWork) =>
        printPages(
          (after) => client.queues.list({ signal, ...given({ after }) }),
          "queues",
          options,
        ).then(() => ExitCode.fine);
      done(await withNativeClient("queue ls", options, false, list));
    });
  for (const verb of ["create", "update"] as const) {
    addSettings(queue.command(verb))
      .description(verb === "create" ? "Makes a queue." : "Changes settings of a queue.")
      .action(async (name: string, options: SettingsOptions) => {
        const work = async ({ client, signal }: NativeWork): Promise<ExitCode> => {
          await client.queues[verb](name, settingsOf(options), { signal });
          return ExitCode.fine;
        };
        done(await withNativeClient(`queue ${verb}`, options, false, work));
      });
  }
  for (const [verb, text] of [
    ["info", "Shows a queue."],
    ["purge", "Removes all messages of a queue."],
    ["rm", "Removes a queue and its messages."],
  ] as const) {
    addNativeOptions(queue.command(verb))
      .description(text)
      .argument("<queue>", "its name")
      .action(async (name: string, options: NativeOptions) => {
        const work = async ({ client, signal }: NativeWork): Promise<ExitCode> => {
          if (verb === "rm") await client.queues.delete(name, { signal });
          else printFields(await client.queues[verb](name, { signal }), options);
          return ExitCode.fine;
        };
        done(await withNativeClient(`queue ${verb}`, options, false, work));
      });
  }
}

function addMessages(queue: Command, done: Done): void {
  addPayloadOptions(addNativeOptions(queue.command("send")))
    .description("Sends a message and waits until it is on disk.")
    .argument("<queue>", "its name")
    .option("--topic <topic>", "label of the message")
    .option("--delay <seconds>", "nobody gets it before", secondsValue)
    .option("--expiry <seconds>", "how long it lives", secondsValue)
    .option("--message-id <id>", "the same id is taken once")
    .action(async (name: string, options: SendOptions) => {
      const work = async ({ client, signal }: NativeWork): Promise<ExitCode> => {
        const { topic, delay, expiry, messageId } = options;
        const fields = given({ topic, messageId, delayMs: msOf(delay), expiryMs: msOf(expiry) });
        const message = { payload: await payloadOf(options), ...fields };
        const sent = await client.queues.send(name, message, { signal });
        if (options.json === true) printJson(sent);
        return ExitCode.fine;
      };
      done(await withNativeClient("queue send", options, false, work));
    });
  addNativeOptions(queue.command("receive"))
    .description("Prints messages and acknowledges them; exits 1 when there is none.")
    .argument("<queue>", "its name")
    .option("--max <n>", "most messages", countValue, 1)
    .option(
      "--wait <seconds>",
      "wait so long for the first one (default: not at all)",
      secondsValue,
    )
    .option("--follow", "go on until interrupted, also after a lost connection")
    .option("--no-ack", "give them back instead; their delivery count has grown")
    .option("--visibility <seconds>", "how long they are hidden from others", secondsValue)
    .action(async (name: string, options: ReceiveOptions) => {
      const follows = options.follow === true;
      const work = async (given: NativeWork): Promise<ExitCode> => {
        if (follows && !options.ack) {
          throw new UsageError("--follow --no-ack would get the same again and again");
        }
        return receive(name, options, given);
      };
      done(await withNativeClient("queue receive", options, follows, work, msOf(options.wait)));
    });
  addNativeOptions(queue.command("peek"))
    .description("Prints messages and leaves them where they are.")
    .argument("<queue>", "its name")
    .option("--max <n>", "most messages", countValue, 10)
    .option("--from <sequence>", "the first sequence to look at", countValue)
    .action(async (name: string, options: NativeOptions & { max: number; from?: number }) => {
      const work = async ({ client, signal }: NativeWork): Promise<ExitCode> => {
        await peek(name, options, { client, signal });
        return ExitCode.fine;
      };
      done(await withNativeClient("queue peek", options, false, work));
    });
  addNativeOptions(queue.command("move"))
    .description("Moves waiting messages to another queue, as many as there are now.")
    .argument("<from>", "where they are")
    .argument("<to>", "where they go")
    .option("--max <n>", "most messages", countValue)
    .action(async (from: string, to: string, options: NativeOptions & { max?: number }) => {
      const { max = Number.MAX_SAFE_INTEGER } = options;
      const work = async ({ client, signal }: NativeWork): Promise<ExitCode> => {
        let moved = 0;
        try {
          await move(client, from, to, max, signal, (count) => {
            moved = count;
          });
        } finally {
          printFields({ moved }, options);
        }
        return ExitCode.fine;
      };
      done(await withNativeClient("queue move", options, false, work));
    });
}

/** `rillmq queue ls|create|update|info|send|receive|peek|purge|rm|move`. */
export function addQueueCommand(program: Command, done: Done): void {
  const queue = program.command("queue").description("Works with queues of a broker.");
  addManaging(queue, done);
  addMessages(queue, done);
}
