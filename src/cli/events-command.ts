import type { Command } from "commander";
import { ExitCode } from "./exit-code.ts";
import {
  addNativeOptions,
  addPayloadOptions,
  given,
  type NativeOptions,
  type PayloadOptions,
  payloadOf,
  printFields,
  printMessage,
  withNativeClient,
} from "./native-client.ts";
import { countValue } from "./option-values.ts";

interface SubOptions extends NativeOptions {
  readonly group?: string;
  readonly retained?: boolean;
  readonly count?: number;
}

const runPub = (
  topic: string,
  options: NativeOptions & PayloadOptions & { readonly retain?: boolean },
): Promise<number> =>
  withNativeClient("events pub", options, false, async ({ client, signal }) => {
    const payload = await payloadOf(options);
    const call = { signal, retain: options.retain === true };
    const result = await client.events.publish(topic, { payload }, call);
    if (options.json === true) printFields({ reached: result.isReached }, options);
    return ExitCode.fine;
  });

const runSub = (filter: string, options: SubOptions): Promise<number> =>
  withNativeClient("events sub", options, true, async ({ client, signal }) => {
    const { group, retained, count = Number.POSITIVE_INFINITY } = options;
    const events = await client.events.subscribe(filter, {
      signal,
      ...given({ group, retained }),
    });
    let left = count;
    for await (const event of events) {
      printMessage(event, options);
      if (--left <= 0) break;
    }
    return ExitCode.fine;
  });

/** `rillmq events pub|sub`. */
export function addEventsCommand(program: Command, done: (exitCode: number) => void): void {
  const events = program.command("events").description("Publishes and subscribes to events.");
  addPayloadOptions(addNativeOptions(events.command("pub")))
    .description("Publishes one event and waits for its acknowledgement.")
    .argument("<topic>", "topic")
    .option("--retain", "keep it as the topic's retained message")
    .action(async (topic: string, options) => done(await runPub(topic, options)));
  addNativeOptions(events.command("sub"))
    .description("Prints events until it is interrupted; goes on after a lost connection.")
    .argument("<filter>", "topic filter")
    .option("--group <name>", "one member of each group gets each event")
    .option("--retained", "print what is retained first")
    .option("--count <n>", "stop after this many", countValue)
    .action(async (filter: string, options: SubOptions) => done(await runSub(filter, options)));
}
