/** What `pub` and `sub` share: one connection of MQTT.js that is never made again. */
import { readFile } from "node:fs/promises";
import { type Command, Option } from "commander";
import type { IClientOptions, MqttClient } from "mqtt";
import { type BrokerAddress, brokerAddress } from "./option-values.ts";

/** Options of a connection. */
export interface ConnectOptions {
  readonly url: BrokerAddress;
  readonly protocol: "4" | "5";
  readonly clientId?: string;
  readonly username?: string;
  readonly password?: string;
  /** PEM file. */
  readonly ca?: string;
  readonly insecure?: boolean;
}

const PRESET_URL = "mqtt://127.0.0.1:1883";

/** Adds the options of `ConnectOptions`. */
export function addConnectOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--url <url>", "the broker")
        .argParser(brokerAddress)
        .default({ url: PRESET_URL }, `"${PRESET_URL}"`),
    )
    .addOption(
      new Option("--protocol <level>", "4 is MQTT 3.1.1, 5 is MQTT 5")
        .choices(["4", "5"])
        .default("5"),
    )
    .option("--client-id <id>", "Client Identifier (default: a random one)")
    .option("--username <name>", "user name")
    .option("--password <password>", "password")
    .option("--ca <file>", "certification authority that signed the broker's certificate, PEM")
    .option("--insecure", "take any certificate");
}

/** An option `--qos`. */
export const qosOption = (preset: string): Option =>
  new Option("--qos <level>", "quality of service").choices(["0", "1", "2"]).default(preset);

/** Something the user is told in one line, exit code 1. */
export class Refusal extends Error {
  override readonly name = "Refusal";
}

const CONNECT_TIMEOUT_MS = 30_000;

const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  const [first] = error instanceof AggregateError ? (error.errors as unknown[]) : [];
  if (first !== undefined) return reasonOf(first);
  const code = "code" in error ? error.code : undefined;
  const reason = error.message === "" ? String(code ?? error.name) : error.message;
  return typeof code === "number" ? `${reason} (0x${code.toString(16).padStart(2, "0")})` : reason;
};

/** Which certificates are taken. */
async function trustOf({ ca, insecure }: ConnectOptions): Promise<IClientOptions> {
  const rejectUnauthorized = insecure !== true;
  if (ca === undefined) return { rejectUnauthorized };
  try {
    return { rejectUnauthorized, ca: await readFile(ca) };
  } catch {
    throw new Refusal(`cannot read ${ca}`);
  }
}

/**
 * Connects, lets `use` work with the connection and ends it.
 * @throws Refusal when connecting fails, the connection ends, or `timeoutMs` go by before `use` is done
 */
export async function withClient<Result>(
  options: ConnectOptions,
  timeoutMs: number,
  use: (client: MqttClient) => Promise<Result>,
): Promise<Result> {
  const { connect } = (await import("mqtt")).default;
  const { url } = options;
  const client = connect("url" in url ? url.url : "mqtt+unix://", {
    ...("url" in url ? {} : { path: url.socketPath }),
    ...(await trustOf(options)),
    protocolVersion: options.protocol === "4" ? 4 : 5,
    clean: true,
    reconnectPeriod: 0,
    writeCache: false,
    connectTimeout: Math.min(timeoutMs, CONNECT_TIMEOUT_MS),
    clientId:
      options.clientId ?? `rillmq-${process.pid}-${Math.random().toString(36).slice(2, 10)}`,
    ...(options.username === undefined ? {} : { username: options.username }),
    ...(options.password === undefined ? {} : { password: options.password }),
  });
  let timer: NodeJS.Timeout | undefined;
  const failed = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Refusal("timed out")), timeoutMs);
    client.on("error", (error) => reject(new Refusal(reasonOf(error))));
    client.on("disconnect", ({ reasonCode = 0 }) => {
      reject(new Refusal(`the broker disconnected: 0x${reasonCode.toString(16).padStart(2, "0")}`));
    });
    client.on("close", () => reject(new Refusal("the connection was closed")));
  });
  const connected = new Promise<void>((resolve) => {
    client.on("connect", () => resolve());
  });
  const work = connected
    .then(() => use(client))
    .catch((error: unknown) => {
      throw error instanceof Refusal ? error : new Refusal(reasonOf(error));
    });
  try {
    const result = await Promise.race([work, failed]);
    await client.endAsync();
    return result;
  } catch (error) {
    client.end(true);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
