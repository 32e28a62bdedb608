import type { Command } from "commander";
import { callAdmin } from "./admin-client.ts";
import { type AdminOptions, answer, type Done, sub, table } from "./admin-command.ts";
import { ExitCode } from "./exit-code.ts";
import { printable } from "./printable.ts";

interface PageOptions extends AdminOptions {
  readonly from?: string;
  readonly limit?: string;
}

/** What the broker tells; only what is printed. */
interface ShownLane {
  readonly name: string;
  readonly stream: string;
  readonly state: string;
  readonly reason?: string;
  readonly lagMessages: number;
  readonly oldestUnsentMs?: number;
  readonly inflight: number;
  readonly acknowledged: number;
  readonly resent: number;
  readonly dropped: number;
  readonly deadLetters: number;
  readonly guarantee?: { readonly kind: string; readonly why: string };
}

interface ShownUplink {
  readonly name: string;
  readonly driver: string;
  readonly state: string;
  readonly blockedReason?: string;
  readonly pin: boolean;
  readonly isProbing: boolean;
  readonly deadLetters: { readonly count: number; readonly bytes: number };
  readonly guarantee: { readonly kind: string; readonly why: string };
  readonly lanes: readonly ShownLane[];
}

interface ShownLetter {
  readonly number: number;
  readonly recordId: string;
  readonly at: string;
  readonly topic: string;
  readonly reason: string;
  readonly payloadBytes: number;
  readonly payload: string;
}

interface ShownLoss {
  readonly number: number;
  readonly lane: string;
  readonly stream: string;
  readonly from: number;
  readonly to: number;
  readonly count: number;
  readonly reason: string;
  readonly at: number;
}

const pathOf = (name: string, rest = ""): string => `/uplinks/${encodeURIComponent(name)}${rest}`;

function uplinkLines(told: unknown): string {
  const rows = (told as readonly ShownUplink[]).map((uplink) => [
    uplink.name,
    uplink.driver,
    uplink.state,
    String(uplink.lanes.reduce((sum, lane) => sum + lane.lagMessages, 0)),
    String(uplink.deadLetters.count),
    uplink.guarantee.kind,
    uplink.blockedReason ?? "",
  ]);
  return table(["NAME", "DRIVER", "STATE", "LAG", "DEAD", "GUARANTEE", "REASON"], rows);
}

function uplinkText(told: unknown): string {
  const uplink = told as ShownUplink;
  const { name, driver, state, blockedReason, guarantee, deadLetters, pin, isProbing } = uplink;
  const lines = [
    `${name} (${driver}): ${state}${blockedReason === undefined ? "" : `, ${blockedReason}`}`,
    `guarantee: ${guarantee.kind}: ${guarantee.why}`,
    `dead letters: ${deadLetters.count}, ${deadLetters.bytes} bytes on disk`,
  ];
  if (!pin) lines.push("not pinned: streams do not wait for it");
  if (isProbing) lines.push("looking for a record that makes the remote hang up");
  const rows = uplink.lanes.map((lane) => [
    lane.name,
    lane.stream,
    lane.state,
    String(lane.lagMessages),
    String(lane.inflight),
    String(lane.acknowledged),
    String(lane.resent),
    String(lane.dropped),
    String(lane.deadLetters),
    lane.reason ?? "",
  ]);
  const head = ["LANE", "STREAM", "STATE", "LAG", "INFLIGHT", "ACKED", "RESENT", "DROPPED", "DEAD"];
  return [...lines, table([...head, "REASON"], rows)].join("\n");
}

function letterLines(told: unknown): string {
  const rows = (told as readonly ShownLetter[]).map((letter) => [
    String(letter.number),
    letter.at,
    letter.recordId,
    letter.topic,
    String(letter.payloadBytes),
    letter.reason,
  ]);
  return table(["NUMBER", "TIME", "RECORD", "TOPIC", "BYTES", "REASON"], rows);
}

function letterText(told: unknown): string {
  const { payload, ...rest } = told as ShownLetter & Readonly<Record<string, unknown>>;
  const lines = Object.entries(rest).map(([key, value]) => {
    return `${key}: ${typeof value === "object" ? JSON.stringify(value) : String(value)}`;
  });
  return [
    ...lines.map(printable),
    `payload: ${JSON.stringify(Buffer.from(payload, "base64").toString())}`,
  ].join("\n");
}

function lossLines(told: unknown): string {
  const rows = (told as readonly ShownLoss[]).map((loss) => [
    String(loss.number),
    new Date(loss.at).toISOString(),
    loss.lane,
    loss.stream,
    loss.from === loss.to ? String(loss.from) : `${loss.from}-${loss.to}`,
    String(loss.count),
    loss.reason,
  ]);
  return table(["NUMBER", "TIME", "LANE", "STREAM", "SEQUENCES", "COUNT", "REASON"], rows);
}

/** Of `7`, `7-9` or `all` the query; undefined: it is none of them. */
function rangeQuery(text: string): string | undefined {
  if (text === "all") return `?from=1&to=${Number.MAX_SAFE_INTEGER}`;
  const match = /^(\d{1,15})(?:-(\d{1,15}))?$/.exec(text);
  return match === null ? undefined : `?from=${match[1]}&to=${match[2] ?? match[1]}`;
}

function pageQuery({ from, limit }: PageOptions): string {
  const query = new URLSearchParams();
  if (from !== undefined) query.set("from", from);
  if (limit !== undefined) query.set("limit", limit);
  return query.size === 0 ? "" : `?${query}`;
}

const withPage = (command: Command): Command =>
  command
    .option("--from <number>", "the first to show (default 1)")
    .option("--limit <n>", "most to show (default 100)");

function addDeadLetterCommands(uplink: Command, done: Done): void {
  const dlq = uplink.command("dlq").description("Dead letters: records the remote never takes.");
  withPage(sub(dlq, "ls <name>", "Lists them.")).action(
    async (name: string, options: PageOptions) => {
      const path = pathOf(name, `/dlq${pageQuery(options)}`);
      done(await answer("uplink", options, (data) => callAdmin(data, "GET", path), letterLines));
    },
  );
  sub(dlq, "show <name> <number>", "Shows one with its payload.").action(
    async (name: string, number: string, options: AdminOptions) => {
      const path = pathOf(name, `/dlq/${encodeURIComponent(number)}`);
      done(await answer("uplink", options, (data) => callAdmin(data, "GET", path), letterText));
    },
  );
  sub(
    dlq,
    "retry <name> <which>",
    "Sends a number, a range such as 3-7, or all once more; each goes when it is acknowledged.",
  ).action(async (name: string, which: string, options: AdminOptions) => {
    const query = rangeQuery(which);
    if (query === undefined) return done(wrongRange(which));
    const path = pathOf(name, `/dlq/retry${query}`);
    done(await answer("uplink", options, (data) => callAdmin(data, "POST", path), retryText));
  });
  sub(dlq, "rm <name> <which>", "Removes a number, a range such as 3-7, or all, for good.").action(
    async (name: string, which: string, options: AdminOptions) => {
      const query = rangeQuery(which);
      if (query === undefined) return done(wrongRange(which));
      const path = pathOf(name, `/dlq${query}`);
      const show = (told: unknown): string => `${(told as { removed: number }).removed} removed`;
      done(await answer("uplink", options, (data) => callAdmin(data, "DELETE", path), show));
    },
  );
}

function retryText(told: unknown): string {
  const { started, refused } = told as {
    started: number;
    refused: readonly { number: number; reason: string }[];
  };
  const lines = refused.map(({ number, reason }) => `${number}: ${reason}`);
  return [`${started} on their way`, ...lines].join("\n");
}

function wrongRange(text: string): number {
  process.stderr.write(`rillmq uplink: expected a number, a range or all, not ${text}\n`);
  return ExitCode.usage;
}

/** `rillmq uplink`: the uplinks of a running broker. Loads nothing but the client of the admin channel. */
export function addUplinkCommand(program: Command, done: Done): void {
  const uplink = program.command("uplink").description("Uplinks of a running broker.");
  sub(uplink, "ls", "Lists them with state, lag and dead letters.").action(
    async (options: AdminOptions) => {
      done(
        await answer("uplink", options, (data) => callAdmin(data, "GET", "/uplinks"), uplinkLines),
      );
    },
  );
  sub(uplink, "show <name>", "Shows one with its lanes.").action(
    async (name: string, options: AdminOptions) => {
      done(
        await answer("uplink", options, (data) => callAdmin(data, "GET", pathOf(name)), uplinkText),
      );
    },
  );
  for (const [verb, text] of [
    ["pause", "Disconnects it until it is resumed, also over restarts. Streams wait for it."],
    ["resume", "Ends a pause."],
  ] as const) {
    sub(uplink, `${verb} <name>`, text).action(async (name: string, options: AdminOptions) => {
      const path = pathOf(name, `/${verb}`);
      done(
        await answer(
          "uplink",
          options,
          (data) => callAdmin(data, "POST", path),
          () => `${verb}d ${name}`,
        ),
      );
    });
  }
  sub(
    uplink,
    "accept-remote <name> <lane>",
    "Goes on with a remote stream that was purged, restored or made anew, as it is.",
  ).action(async (name: string, lane: string, options: AdminOptions) => {
    const path = pathOf(name, `/lanes/${encodeURIComponent(lane)}/accept-remote`);
    done(
      await answer(
        "uplink",
        options,
        (data) => callAdmin(data, "POST", path),
        () => `accepted ${lane}`,
      ),
    );
  });
  withPage(sub(uplink, "losses <name>", "Lists what was never delivered, by range.")).action(
    async (name: string, options: PageOptions) => {
      const path = pathOf(name, `/losses${pageQuery(options)}`);
      done(await answer("uplink", options, (data) => callAdmin(data, "GET", path), lossLines));
    },
  );
  addDeadLetterCommands(uplink, done);
}
