import type { Command } from "commander";
import { callAdmin } from "./admin-client.ts";
import {
  type AdminOptions,
  answer,
  answerList,
  type Done,
  type ListOptions,
  listing,
  sub,
} from "./admin-command.ts";
import { printable } from "./printable.ts";

/** What the broker tells; only what is printed. */
interface ShownSession {
  readonly clientId: string;
  readonly user?: string;
  readonly connected: boolean;
  /** Null: never. */
  readonly sessionExpirySeconds: number | null;
  readonly detachedAt?: string;
  readonly subscriptions: number;
  readonly inflight: number;
  readonly backlog: number;
}

const HEAD = ["CLIENT", "USER", "STATE", "DETACHED", "EXPIRY", "SUBS", "INFLIGHT", "BACKLOG"];

const row = (session: ShownSession): string[] => [
  session.clientId,
  session.user ?? "",
  session.connected ? "connected" : "detached",
  session.detachedAt ?? "",
  session.sessionExpirySeconds === null ? "never" : `${session.sessionExpirySeconds}s`,
  String(session.subscriptions),
  String(session.inflight),
  String(session.backlog),
];

/** `rillmq sessions`: what a running broker keeps for clients, connected or not. */
export function addSessionsCommand(program: Command, done: Done): void {
  const sessions = program.command("sessions").description("Sessions of a running broker.");
  listing(sub(sessions, "ls", "Lists them by Client Identifier, connected or not.")).action(
    async (options: ListOptions) => {
      done(await answerList("sessions", options, { path: "/sessions/list" }, HEAD, row));
    },
  );
  sub(
    sessions,
    "rm <id>",
    "Ends one for good, with all that waits for it; a connected client is disconnected first.",
  ).action(async (clientId: string, options: AdminOptions) => {
    const ask = (data: string): Promise<unknown> =>
      callAdmin(data, "POST", "/sessions/remove", { clientId });
    done(await answer("sessions", options, ask, () => `removed ${printable(clientId)}`));
  });
}
