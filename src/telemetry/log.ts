import { createRequire } from "node:module";
import { isatty } from "node:tty";
import { type DestinationStream, destination, pino } from "pino";
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

const STANDARD_ERROR = 2;

/** What an operator needs of an error; its stack is in the entry of a crash alone. */
function described(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const code = "code" in error ? error.code : undefined;
  return { name: error.name, message: error.message, ...(code === undefined ? {} : { code }) };
}

/** Loaded for people only: it costs the start of a service 50 ms. Undefined where it was left out, as in the image. */
function loadPretty(): typeof import("pino-pretty").PinoPretty | undefined {
  try {
    const require = createRequire(import.meta.url);
    return (require("pino-pretty") as typeof import("pino-pretty")).PinoPretty;
  } catch {
    return undefined;
  }
}

function standardError(): DestinationStream {
  const pretty = isatty(STANDARD_ERROR) ? loadPretty() : undefined;
  if (pretty !== undefined) {
    return pretty({
      colorize: true,
      destination: STANDARD_ERROR,
      messageKey: "event",
      sync: true,
    });
  }
  const stream = destination({ fd: STANDARD_ERROR, sync: true });
  // Nobody reads any more: that is no reason to stop brokering.
  stream.on("error", () => undefined);
  return stream;
}

/**
 * A log of JSON lines, such as `{"level":"info","time":"2026-01-31T12:00:00.000Z","url":"mqtt://127.0.0.1:1883","event":"listening"}`,
 * written before the call returns. Entries below `level` are dropped. Goes to standard error unless told otherwise, readable for humans
 * when that is a terminal.
 */
export function createLog(level: LogLevel, to: DestinationStream = standardError()): Log {
  const logger = pino(
    {
      level,
      base: null,
      messageKey: "event",
      timestamp: () => `,"time":"${utcText(Date.now())}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: described },
    },
    to,
  );
  return (entryLevel, event, fields) => {
    if (fields === undefined) logger[entryLevel](event);
    else logger[entryLevel](fields, event);
  };
}
