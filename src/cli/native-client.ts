/** What the commands of the native protocol share: their connection, how they end, what they print. */
import { readFile } from "node:fs/promises";
import { type Command, InvalidArgumentError } from "commander";
import type { RillClient } from "../client/node.ts";
import { RillError } from "../client/rill-error.ts";
import type { FrameCodec } from "../native/frame-codec.ts";
import { ExitCode } from "./exit-code.ts";
import { secondsValue } from "./option-values.ts";
import { printable, printableJson } from "./printable.ts";

/** Options of a connection and of what is printed. */
export interface NativeOptions {
  readonly url: string;
  readonly clientId?: string;
  readonly username?: string;
  readonly password?: string;
  /** PEM file. */
  readonly ca?: string;
  readonly insecure?: boolean;
  readonly json?: boolean;
  readonly timeout?: number;
}

const PRESET_URL = "rill://127.0.0.1:7455";
/** What does not follow anything ends after this long. */
const PRESET_TIMEOUT_S = 30;

function nativeUrl(text: string): string {
  if (/^(rill|rills|ws|wss):\/\/[^/]/.test(text) && URL.canParse(text)) return text;
  throw new InvalidArgumentError("Expected rill://, rills://, ws:// or wss:// with a host.");
}

/** Adds the options of `NativeOptions`. */
export const addNativeOptions = (command: Command): Command =>
  command
    .option("--url <url>", "the broker", nativeUrl, PRESET_URL)
    .option("--client-id <id>", "Client Identifier (default: the broker draws one)")
    .option("--username <name>", "user name")
    .option("--password <password>", "password")
    .option("--ca <file>", "certification authority that signed the broker's certificate, PEM")
    .option("--insecure", "take any certificate")
    .option("--json", "print JSON, one line for each")
    .option(
      "--timeout <seconds>",
      `give up after this long (default: ${PRESET_TIMEOUT_S}; what goes on until it is interrupted: never)`,
      secondsValue,
    );

/** What the user did wrong, said in one line; exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What a command works with. */
export interface NativeWork {
  readonly client: RillClient;
  /** Aborted by SIGINT, SIGTERM and the time-out. */
  readonly signal: AbortSignal;
}

async function tlsOf({ ca, insecure }: NativeOptions) {
  const rejectUnauthorized = insecure !== true;
  if (ca === undefined) return { rejectUnauthorized };
  try {
    return { rejectUnauthorized, ca: await readFile(ca) };
  } catch {
    throw new UsageError(`cannot read ${ca}`);
  }
}

/**
 * Connects, lets `use` work and ends the connection. Reports what went wrong on standard error.
 * @param follows it goes on until it is interrupted, over lost connections; otherwise the first failure is the end
 * @param waitMs how long the broker is told to wait for something; no time-out that is preset comes before
 * @returns the exit code: interrupted by the user is fine for what follows, and a negative answer for what does not
 */
export async function withNativeClient(
  name: string,
  options: NativeOptions,
  follows: boolean,
  use: (work: NativeWork) => Promise<ExitCode | undefined>,
  waitMs = 0,
): Promise<number> {
  const { url, clientId, username, password, timeout } = options;
  const presetMs = PRESET_TIMEOUT_S * 1_000 + waitMs;
  const timeoutMs = timeout === undefined ? undefined : timeout * 1_000;
  const endsAfterMs = timeoutMs ?? (follows ? undefined : presetMs);
  const aborter = new AbortController();
  let ended: "interrupted" | "timed out" | undefined;
  const end = (why: "interrupted" | "timed out"): void => {
    ended ??= why;
    aborter.abort();
  };
  const onSignal = (): void => end("interrupted");
  const timer =
    endsAfterMs === undefined ? undefined : setTimeout(() => end("timed out"), endsAfterMs);
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  let client: RillClient | undefined;
  try {
    const { connect } = await import("../client/node.ts");
    const { codecOf } = await import("../native/frame-codec.ts");
    jsonCodec = codecOf("rill.v1+json");
    client = await connect(url, {
      tls: await tlsOf(options),
      program: `rillmq ${name}`,
      reconnects: follows,
      signal: aborter.signal,
      timeoutMs: timeoutMs ?? presetMs,
      ...given({ clientId, user: username, password }),
    });
    return (await use({ client, signal: aborter.signal })) ?? ExitCode.fine;
  } catch (error) {
    if (error instanceof UsageError) return report(name, error.message, ExitCode.usage);
    if (!(error instanceof RillError)) throw error;
    if (ended === "interrupted") return follows ? ExitCode.fine : ExitCode.negative;
    return report(name, ended ?? textOf(error, url), ExitCode.negative);
  } finally {
    clearTimeout(timer);
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
    await client?.close(1_000);
  }
}

/** What, why, and where it helps, what to do. */
function textOf({ message, code }: RillError, url: string): string {
  const text = `${message} (${code})`;
  if (code !== "unreachable" || !/ECONNREFUSED|ENOENT/.test(message)) return text;
  return `${text}; is a broker running with a listener for ${url}? See: rillmq serve --listen rill://HOST:PORT`;
}

function report(name: string, text: string, exitCode: ExitCode): number {
  process.stderr.write(`rillmq ${name}: ${printable(text)}\n`);
  return exitCode;
}

/** Loaded with the first connection. */
let jsonCodec: FrameCodec | undefined;

/** A value as a line of JSON, bytes as in `rill.v1+json`. Only where there is a connection. */
export function printJson(value: unknown): void {
  process.stdout.write(`${printableJson(JSON.parse(String(jsonCodec?.encode(value))))}\n`);
}

/** A message: with `--json` all of it, otherwise its payload as a line of text. */
export function printMessage(
  message: { readonly payload?: Uint8Array },
  { json: isJson }: NativeOptions,
): void {
  if (isJson === true) printJson(message);
  else process.stdout.write(`${Buffer.from(message.payload ?? []).toString("utf8")}\n`);
}

/** An answer's fields: with `--json` as they are, otherwise a line for each. */
export function printFields(
  result: Readonly<Record<string, unknown>>,
  { json: isJson }: NativeOptions,
): void {
  const { op: _op, id: _id, ...fields } = result;
  if (isJson === true) {
    printJson(fields);
    return;
  }
  for (const [name, value] of Object.entries(fields)) {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    process.stdout.write(`${name}: ${printable(text)}\n`);
  }
}

/** Where a payload comes from. */
export interface PayloadOptions {
  readonly message?: string;
  readonly file?: string;
}

export const addPayloadOptions = (command: Command): Command =>
  command
    .option("--message <text>", "payload")
    .option("--file <path>", 'payload from a file, "-" for standard input');

/** @throws UsageError when there is none, or two */
export async function payloadOf({ message, file }: PayloadOptions): Promise<Uint8Array> {
  if ((message === undefined) === (file === undefined)) {
    throw new UsageError("give the payload with either --message or --file");
  }
  if (message !== undefined) return Buffer.from(message);
  try {
    return await readFile(file === "-" ? "/dev/stdin" : (file ?? ""));
  } catch {
    throw new UsageError(`cannot read ${file}`);
  }
}

/** The fields that are given. */
export const given = <Fields extends Record<string, unknown>>(
  fields: Fields,
): { readonly [Name in keyof Fields]?: NonNullable<Fields[Name]> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;

/** Seconds as milliseconds. */
export const msOf = (seconds: number | undefined): number | undefined =>
  seconds === undefined ? undefined : Math.round(seconds * 1_000);

/** All pages of a list. `field`: where the answer has it. */
export async function printPages(
  list: (after: string | undefined) => Promise<Readonly<Record<string, unknown>>>,
  field: "streams" | "queues",
  options: NativeOptions,
): Promise<void> {
  let after: string | undefined;
  for (;;) {
    const answer = await list(after);
    const found = answer[field] as readonly Readonly<Record<string, unknown>>[];
    for (const one of found) {
      after = String(one[field === "streams" ? "stream" : "queue"]);
      if (options.json === true) printJson(one);
      else process.stdout.write(`${printable(after)}\n`);
    }
    if (answer["more"] !== true || found.length === 0) return;
  }
}
