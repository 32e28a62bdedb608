import type { Command } from "commander";
import type { IPublishPacket, MqttClient } from "mqtt";
import { ExitCode } from "./exit-code.ts";
import {
  addConnectOptions,
  type ConnectOptions,
  qosOption,
  Refusal,
  withClient,
} from "./mqtt-client.ts";
import { collect, countValue, secondsValue } from "./option-values.ts";

interface SubOptions extends ConnectOptions {
  readonly topic: string[];
  readonly qos: "0" | "1" | "2";
  readonly count?: number;
  readonly timeout?: number;
  readonly json?: boolean;
}

/** Longer than anybody waits, and still a delay that timers take. */
const FOREVER_MS = 2_000_000_000;

function lineOf(topic: string, payload: Buffer, packet: IPublishPacket, isJson: boolean): string {
  if (!isJson) return `${payload.toString("utf8")}\n`;
  const { qos, retain } = packet;
  const userProperties = packet.properties?.userProperties;
  return `${JSON.stringify({ topic, qos, retain, payload: payload.toString("utf8"), userProperties })}\n`;
}

/** Prints messages until there were enough. */
async function printMessages(client: MqttClient, options: SubOptions): Promise<void> {
  const enough = new Promise<void>((resolve) => {
    let left = options.count ?? Number.POSITIVE_INFINITY;
    client.on("message", (topic, payload, packet) => {
      if (left <= 0) return;
      process.stdout.write(lineOf(topic, payload, packet, options.json === true));
      left--;
      if (left <= 0) resolve();
    });
  });
  const qos = options.qos === "0" ? 0 : options.qos === "1" ? 1 : 2;
  const grants = await client.subscribeAsync(options.topic, { qos });
  const refused = grants.find((grant) => grant.qos >= 0x80);
  if (refused !== undefined) {
    throw new Refusal(
      `the subscription to ${refused.topic} was refused: 0x${refused.qos.toString(16)}`,
    );
  }
  await enough;
}

async function runSub(options: SubOptions): Promise<number> {
  const timeoutMs = options.timeout === undefined ? FOREVER_MS : options.timeout * 1_000;
  try {
    await withClient(options, timeoutMs, (client) => printMessages(client, options));
    return ExitCode.fine;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    process.stderr.write(`rillmq sub: ${error.message}\n`);
    return ExitCode.negative;
  }
}

/** `rillmq sub`: prints the messages of some topic filters. */
export function addSubCommand(program: Command, done: (exitCode: number) => void): void {
  addConnectOptions(program.command("sub"))
    .description("Subscribes and prints each payload on a line; exits 1 on time-out.")
    .requiredOption("--topic <filter>", "topic filter; may be repeated", collect)
    .addOption(qosOption("1"))
    .option("--count <n>", "stop after this many messages", countValue)
    .option("--timeout <seconds>", "give up after this long (default: never)", secondsValue)
    .option("--json", "print topic, qos, retain, payload and user properties as JSON lines")
    .action(async (options: SubOptions) => done(await runSub(options)));
}
