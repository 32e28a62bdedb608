import type { Device } from "./device.ts";
import type { FleetProgress } from "./fleet.ts";
import { alignColumns, grouped } from "./table.ts";

const MiB = 1_048_576;
/** With fewer devices the figure per device would be that of the program. */
const CROWD_MIN = 100;

/** Memory of this process. */
export interface SimMemory {
  /** Resident before the first device. */
  readonly rssAtStartBytes: number;
  readonly rssPeakBytes: number;
}

/** What is known when a run is over. */
export interface SimResult {
  readonly progress: FleetProgress;
  readonly devices: readonly Device[];
  /** From the first connection to the last acknowledgement, answer and will. */
  readonly seconds: number;
  readonly memory: SimMemory;
  readonly problems: readonly string[];
  readonly errors: readonly string[];
}

/** The live line. */
export function progressText(progress: FleetProgress): string {
  const { connected, asleep, devices, published, messages, acknowledged, drops, refusals } =
    progress;
  const { commands, wills } = progress;
  const parts = [
    `${connected}/${devices} connected${asleep > 0 ? `, ${asleep} asleep` : ""}`,
    `${grouped(published)}/${grouped(messages)} published`,
    `${grouped(acknowledged)} acknowledged`,
    `${drops} drops`,
    `${refusals} refused`,
  ];
  if (commands !== undefined) {
    parts.push(`${grouped(commands.answered)}/${grouped(commands.planned)} commands answered`);
  }
  if (wills !== undefined) parts.push(`${wills.seen}/${wills.accidents} wills seen`);
  return parts.join(" · ");
}

interface KindRow {
  devices: number;
  published: number;
  acknowledged: number;
  commands: number;
}

function kindRows(devices: readonly Device[]): Map<string, KindRow> {
  const rows = new Map<string, KindRow>();
  for (const { ledger, inbox } of devices) {
    const key = `${ledger.kind} (QoS ${ledger.qos})`;
    const row = rows.get(key) ?? { devices: 0, published: 0, acknowledged: 0, commands: 0 };
    row.devices += 1;
    row.published += ledger.published;
    row.acknowledged += ledger.acknowledged.size;
    row.commands += inbox.received;
    rows.set(key, row);
  }
  return rows;
}

function table({ devices, progress }: SimResult): string[] {
  const hasCommands = progress.commands !== undefined;
  const rowOf = (name: string, row: KindRow): string[] => [
    name,
    grouped(row.devices),
    grouped(row.published),
    grouped(row.acknowledged),
    ...(hasCommands ? [grouped(row.commands)] : []),
    "",
  ];
  const all: KindRow = { devices: 0, published: 0, acknowledged: 0, commands: 0 };
  const rows = [
    ["kind", "devices", "published", "acknowledged", ...(hasCommands ? ["commands"] : []), ""],
  ];
  for (const [name, row] of kindRows(devices)) {
    rows.push(rowOf(name, row));
    all.devices += row.devices;
    all.published += row.published;
    all.acknowledged += row.acknowledged;
    all.commands += row.commands;
  }
  return alignColumns([...rows, rowOf("all", all)]);
}

function connectionLines({ progress, memory }: SimResult): string[] {
  const { devices, connectSeconds } = progress;
  const { rssAtStartBytes, rssPeakBytes } = memory;
  const eachKiB = grouped((rssPeakBytes - rssAtStartBytes) / devices / 1_024);
  const each = devices < CROWD_MIN ? "" : ` (${eachKiB} KiB per device)`;
  const perSecond = devices / Math.max(connectSeconds ?? 0, 0.001);
  const connected =
    connectSeconds === undefined
      ? "not every device was connected"
      : `all ${grouped(devices)} devices connected after ${connectSeconds.toFixed(1)} s (${grouped(perSecond)} per second)`;
  return [
    `${connected}; memory of this process ${grouped(rssAtStartBytes / MiB)} MiB, at most ${grouped(rssPeakBytes / MiB)} MiB${each}`,
  ];
}

function watchedLines({ commands, wills }: FleetProgress): string[] {
  const lines: string[] = [];
  if (commands !== undefined) {
    lines.push(
      `${grouped(commands.accepted)} commands accepted (${grouped(commands.acceptedAsleep)} while their device was asleep), ` +
        `${grouped(commands.answered)} answered, ${commands.repeated} answered again, ${commands.misrouted} misrouted`,
    );
  }
  if (wills !== undefined) {
    lines.push(
      `${wills.accidents} accidents, ${wills.seen} wills seen of them; ${wills.cleanLeaves} clean leaves, ${wills.unjustified} wills of them; ` +
        `${wills.brokenByOthers} connections broken by others`,
    );
  }
  return lines;
}

/** What is printed at the end. */
export function summaryText(result: SimResult): string {
  const { progress, seconds, problems, errors } = result;
  const perSecond = grouped(progress.acknowledged / Math.max(seconds, 0.001));
  return [
    ...table(result),
    `${seconds.toFixed(1)} s, ${perSecond} acknowledged per second, ${progress.connects} connects, ` +
      `${progress.drops} dropped by radios, ${progress.sessionsLost} sessions forgotten, ${progress.refusals} refused`,
    ...connectionLines(result),
    ...watchedLines(progress),
    ...problems.map((problem) => `WRONG: ${problem}`),
    ...errors.map((error) => `last error: ${error}`),
  ].join("\n");
}

/** The same as one JSON object. */
export function resultJson(result: SimResult, seed: number, isComplete: boolean): string {
  const { progress, devices, seconds, memory, problems, errors } = result;
  const { connectSeconds, commands, wills, ...counts } = progress;
  return JSON.stringify({
    ...counts,
    connectSeconds: connectSeconds ?? null,
    commands: commands ?? null,
    wills: wills ?? null,
    kinds: Object.fromEntries(kindRows(devices)),
    ...memory,
    seed,
    seconds,
    isComplete,
    problems,
    errors,
  });
}
