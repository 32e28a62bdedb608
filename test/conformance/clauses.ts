/** The normative statements of the two standards, as `mqtt-clauses.txt` lists them: by section, first to last number. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Versions of the standard that have numbered statements, and how many. */
export const STATEMENT_COUNTS = { "3.1.1": 141, "5": 251 } as const;
export type StandardVersion = keyof typeof STATEMENT_COUNTS;
export const STANDARD_VERSIONS: readonly StandardVersion[] = ["3.1.1", "5"];

export const CLAUSES_FILE = join(import.meta.dirname, "mqtt-clauses.txt");

const LINE = /^(\S+) (\d+\.\d+\.\d+) (\d+)-(\d+)$/;

/**
 * The numbers of all statements of a version in their order, such as `MQTT-3.1.2-4`.
 * @throws SyntaxError for a line that is no range
 */
export function statementNumbers(version: StandardVersion): string[] {
  const lines = readFileSync(CLAUSES_FILE, "utf8").split("\n");
  return lines
    .filter((line) => line !== "" && !line.startsWith("#"))
    .flatMap((line) => {
      const [, of, section, first, last] = LINE.exec(line) ?? [];
      if (of === undefined) throw new SyntaxError(`${CLAUSES_FILE}: ${line}`);
      if (of !== version) return [];
      const count = Number(last) - Number(first) + 1;
      return Array.from({ length: count }, (_, i) => `MQTT-${section}-${Number(first) + i}`);
    });
}
