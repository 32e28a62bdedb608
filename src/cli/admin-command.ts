/** What commands in front of the admin channel have in common: options, pages, tables, exit codes. */
import type { Command } from "commander";
import { AdminCallError, callAdmin } from "./admin-client.ts";
import { ExitCode } from "./exit-code.ts";
import { countValue } from "./option-values.ts";
import { printable, printableJson } from "./printable.ts";

/** Options that all of them have. */
export interface AdminOptions {
  readonly data?: string;
  readonly json?: boolean;
}

/** Options of lists. */
export interface ListOptions extends AdminOptions {
  readonly after?: string;
  readonly limit: number;
}

/** A part of a list, in order; `next` is where the rest begins, absent at the end. */
export interface Listed<T> {
  readonly items: readonly T[];
  readonly next?: string;
}

export type Done = (exitCode: number) => void;

/** Entries that one answer of the broker holds at most. */
const PAGE_MAX = 1_000;
const LIMIT = 100;

/** A subcommand with the options that all of them have. */
export function sub(parent: Command, usage: string, description: string): Command {
  return parent
    .command(usage)
    .description(description)
    .option("--data <dir>", 'data folder (default RILLMQ_DATA, else "./data")')
    .option("--json", "print the answer as one JSON line");
}

/** The same for a list. */
export const listing = (command: Command): Command =>
  command
    .option("--limit <n>", "most to show", countValue, LIMIT)
    .option("--after <name>", "begin behind this name");

/** Columns as wide as their widest cell; what would steer a terminal is escaped. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const shown = rows.map((row) => row.map(printable));
  const widths = head.map((title, i) =>
    shown.reduce((width, row) => Math.max(width, (row[i] ?? "").length), title.length),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd();
  return [head, ...shown].map(line).join("\n");
}

/** `name: value` for each property, what would steer a terminal escaped. */
export function properties(value: unknown): string {
  const lines = Object.entries(value as Readonly<Record<string, unknown>>).map(([name, each]) => {
    return `${name}: ${typeof each === "object" ? JSON.stringify(each) : String(each)}`;
  });
  return lines.map(printable).join("\n");
}

/**
 * Asks, and prints the answer: as JSON, or as `show` puts it for people.
 * @param command names who complains, such as `uplink`
 */
export async function answer(
  command: string,
  options: AdminOptions,
  ask: (data: string) => Promise<unknown>,
  show: (told: unknown) => string,
): Promise<number> {
  const data = options.data ?? (process.env["RILLMQ_DATA"] || "./data");
  try {
    const told = await ask(data);
    process.stdout.write(`${options.json === true ? printableJson(told) : show(told)}\n`);
    return ExitCode.fine;
  } catch (error) {
    if (!(error instanceof AdminCallError)) throw error;
    process.stderr.write(`rillmq ${command}: ${printable(error.message)}\n`);
    return error.status === 400 ? ExitCode.usage : ExitCode.negative;
  }
}

/** Asks for a list, page by page, until there is enough; `rows` puts entries into a table with this head. */
export function answerList<T>(
  command: string,
  options: ListOptions,
  request: { readonly path: string; readonly body?: Readonly<Record<string, unknown>> },
  head: readonly string[],
  row: (item: T) => readonly string[],
): Promise<number> {
  const ask = async (data: string): Promise<Listed<T>> => {
    const items: T[] = [];
    let after = options.after;
    do {
      const limit = Math.min(options.limit - items.length, PAGE_MAX);
      const body = { ...request.body, after, limit };
      const page = (await callAdmin(data, "POST", request.path, body)) as Listed<T>;
      for (const item of page.items) items.push(item);
      after = page.next;
    } while (after !== undefined && items.length < options.limit);
    return after === undefined ? { items } : { items, next: after };
  };
  const show = (told: unknown): string => {
    const { items, next } = told as Listed<T>;
    const more = next === undefined ? "" : `\n(more: --after ${shellQuoted(next)})`;
    return `${table(head, items.map(row))}${more}`;
  };
  return answer(command, options, ask, show);
}

/** As an argument for a shell; what cannot be printed is shown, and cannot be copied. */
const shellQuoted = (text: string): string => `'${printable(text).replaceAll("'", "'\\''")}'`;
