import { writeSync } from "node:fs";
import { createRequire } from "node:module";
import { isatty } from "node:tty";

/** Where lines of a log go; each ends with a newline. */
export interface LogLines {
  write(line: string): void;
}

const STANDARD_ERROR = 2;
/** How long an entry waits for whoever reads a full pipe, in all and at a time. */
const FULL_MS_MAX = 1_000;
const FULL_MS = 10;

const nobodyWakes = new Int32Array(new SharedArrayBuffer(4));

/** Loaded for people only: it costs the start of a service 50 ms. Undefined where it was left out, as in the image. */
function loadPretty(): typeof import("pino-pretty").PinoPretty | undefined {
  try {
    const require = createRequire(import.meta.url);
    return (require("pino-pretty") as typeof import("pino-pretty")).PinoPretty;
  } catch {
    return undefined;
  }
}

/**
 * Writes before it returns, so that the last line before a crash is there. A pipe that somebody made non-blocking and that stays full
 * loses the rest of the line; one that nobody reads any more is no reason to stop brokering.
 */
function writeNow(line: string): void {
  const bytes = Buffer.from(line);
  let waitedMs = 0;
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(STANDARD_ERROR, bytes, at);
    } catch (error) {
      const isFull = error instanceof Error && "code" in error && error.code === "EAGAIN";
      if (!isFull || waitedMs >= FULL_MS_MAX) return;
      Atomics.wait(nobodyWakes, 0, 0, FULL_MS);
      waitedMs += FULL_MS;
    }
  }
}

/** Standard error of this process: readable for humans when that is a terminal. */
export function standardError(): LogLines {
  const pretty = isatty(STANDARD_ERROR) ? loadPretty() : undefined;
  if (pretty === undefined) return { write: writeNow };
  const destination = STANDARD_ERROR;
  return pretty({ colorize: true, destination, messageKey: "event", sync: true });
}
