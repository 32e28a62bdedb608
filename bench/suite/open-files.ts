import { readFileSync } from "node:fs";
import { IDLE_CONNECTIONS, type SuiteScenario } from "./suite-scenario.ts";

/** What a broker needs beside its connections. */
const OTHER_FILES = 200;

/** How many files a process started from here may have open, without asking for more. */
export function openFilesMax(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  return soft === undefined || soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
}

/**
 * A scenario that a broker with so many files can serve: with fewer connections than it has where need be, of which `onNote` is told.
 */
export function idleScenario(
  scenario: SuiteScenario,
  filesMax: number,
  onNote: (note: string) => void,
): SuiteScenario {
  const { pubs = 0, subs = 0 } = scenario.measure as { pubs?: number; subs?: number };
  const room = filesMax - OTHER_FILES;
  if (pubs + subs <= room || pubs < IDLE_CONNECTIONS / 2) return scenario;
  const share = Math.max(0.001, room / (pubs + subs));
  const scaled = (value: number): number => Math.floor(value * share);
  const names = ["pubs", "subs", "topics", "filters"];
  const measure = Object.fromEntries(
    Object.entries(scenario.measure).map(([name, value]) => [
      name,
      names.includes(name) ? scaled(value) : value,
    ]),
  );
  const count = scaled(pubs) + scaled(subs);
  onNote(`${scenario.name}: ${count} connections only, of files no more may be open (ulimit -n)`);
  return { ...scenario, title: `${scenario.title} (${count} connections only)`, measure };
}
