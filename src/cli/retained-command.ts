import type { Command } from "commander";
import { callAdmin } from "./admin-client.ts";
import {
  type AdminOptions,
  answer,
  answerList,
  type Done,
  type ListOptions,
  listing,
  properties,
  sub,
} from "./admin-command.ts";

/** What the broker tells; only what is printed. */
interface ShownRetained {
  readonly topic: string;
  readonly qos: number;
  readonly user?: string;
  readonly receivedAt: string;
  readonly payloadBytes: number;
  /** Base64; a list shows its beginning. */
  readonly payload: string;
}

const HEAD = ["TOPIC", "QOS", "USER", "RECEIVED", "BYTES", "PAYLOAD"];
const PREVIEW_CHARACTERS = 40;

const textOf = (payload: string): string => Buffer.from(payload, "base64").toString();

const row = ({ topic, qos, user, receivedAt, payloadBytes, payload }: ShownRetained): string[] => [
  topic,
  String(qos),
  user ?? "",
  receivedAt,
  String(payloadBytes),
  textOf(payload).slice(0, PREVIEW_CHARACTERS),
];

function wholeText(told: unknown): string {
  const { payload, ...rest } = told as ShownRetained;
  return properties({ ...rest, payload: textOf(payload) });
}

/** `rillmq retained`: the retained messages of a running broker. */
export function addRetainedCommand(program: Command, done: Done): void {
  const retained = program
    .command("retained")
    .description("Retained messages of a running broker.");
  listing(sub(retained, "ls [filter]", "Lists them by topic.")).action(
    async (filter: string | undefined, options: ListOptions) => {
      const request = { path: "/retained/list", body: filter === undefined ? {} : { filter } };
      done(await answerList("retained", options, request, HEAD, row));
    },
  );
  sub(retained, "get <topic>", "Shows one with its payload.").action(
    async (topic: string, options: AdminOptions) => {
      const ask = (data: string): Promise<unknown> =>
        callAdmin(data, "POST", "/retained/get", { topic });
      done(await answer("retained", options, ask, wholeText));
    },
  );
  sub(
    retained,
    "rm <filter>",
    "Removes that of a topic, or all that match a topic filter; subscribers are not told.",
  ).action(async (filter: string, options: AdminOptions) => {
    const ask = (data: string): Promise<unknown> =>
      callAdmin(data, "POST", "/retained/remove", { filter });
    const show = (told: unknown): string => `${(told as { removed: number }).removed} removed`;
    done(await answer("retained", options, ask, show));
  });
}
