import { type LogLines, standardError } from "./standard-error.ts";
import { utcText } from "./utc-text.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

/**
 * Writes one entry: what happened, in a few words without values, and the values as fields. `error` as a field may be an Error.
 * The names `level`, `time` and `event` are taken.
 */
export type Log = (
  level: LogLevel,
  event: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

const RANKS: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/** What an operator needs of an error; its stack is in the entry of a crash alone. */
function described(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const code = "code" in error ? error.code : undefined;
  return { name: error.name, message: error.message, ...(code === undefined ? {} : { code }) };
}

const shown = (_key: string, value: unknown): unknown =>
  typeof value === "bigint" ? String(value) : value;

/** The fields as JSON without braces. An entry is written even when its fields cannot be: it may be the last one. */
function fieldsText(fields: Readonly<Record<string, unknown>>): string {
  const plain = "error" in fields ? { ...fields, error: described(fields["error"]) } : fields;
  try {
    return JSON.stringify(plain, shown).slice(1, -1);
  } catch (error) {
    return `"unshown":${JSON.stringify(String(error))}`;
  }
}

/**
 * A log of JSON lines, such as `{"level":"info","time":"2026-01-31T12:00:00.000Z","url":"mqtt://127.0.0.1:1883","event":"listening"}`,
 * written before the call returns. Entries below `level` are dropped. Goes to standard error unless told otherwise, readable for humans
 * when that is a terminal.
 */
export function createLog(level: LogLevel, to: LogLines = standardError()): Log {
  const least = RANKS[level];
  return (entryLevel, event, fields) => {
    if (RANKS[entryLevel] < least) return;
    const text = fields === undefined ? "" : fieldsText(fields);
    const head = `{"level":"${entryLevel}","time":"${utcText(Date.now())}"`;
    to.write(`${head}${text === "" ? "" : `,${text}`},"event":${JSON.stringify(event)}}\n`);
  };
}
