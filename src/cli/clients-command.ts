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
import { printable } from "./printable.ts";

/** What the broker tells; only what is printed. */
interface ShownClient {
  readonly clientId: string;
  readonly user?: string;
  readonly address?: string;
  readonly protocol?: string;
  readonly connectedAt?: string;
  readonly subscriptions: number;
  readonly inflight: number;
  readonly backlog: number;
}

const HEAD = ["CLIENT", "USER", "ADDRESS", "PROTOCOL", "CONNECTED", "SUBS", "INFLIGHT", "BACKLOG"];

const row = (client: ShownClient): string[] => [
  client.clientId,
  client.user ?? "",
  client.address ?? "",
  client.protocol ?? "",
  client.connectedAt ?? "",
  String(client.subscriptions),
  String(client.inflight),
  String(client.backlog),
];

/** `rillmq clients`: who is connected to a running broker. */
export function addClientsCommand(program: Command, done: Done): void {
  const clients = program.command("clients").description("Connected clients of a running broker.");
  listing(sub(clients, "ls", "Lists them by Client Identifier.")).action(
    async (options: ListOptions) => {
      done(await answerList("clients", options, { path: "/clients/list" }, HEAD, row));
    },
  );
  sub(clients, "show <id>", "Shows one with its subscriptions.").action(
    async (clientId: string, options: AdminOptions) => {
      const ask = (data: string): Promise<unknown> =>
        callAdmin(data, "POST", "/clients/show", { clientId });
      done(await answer("clients", options, ask, properties));
    },
  );
  sub(clients, "kick <id>", "Ends its connection (DISCONNECT 0x98); it may come again.")
    .option("--drop-session", "end its session, too")
    .action(async (clientId: string, options: AdminOptions & { dropSession?: boolean }) => {
      const body = { clientId, dropSession: options.dropSession === true };
      const ask = (data: string): Promise<unknown> =>
        callAdmin(data, "POST", "/clients/kick", body);
      done(await answer("clients", options, ask, () => `kicked ${printable(clientId)}`));
    });
}
