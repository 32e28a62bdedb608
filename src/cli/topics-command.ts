import type { Command } from "commander";
import { answerList, type Done, type ListOptions, listing, sub } from "./admin-command.ts";

/** What the broker tells. */
interface ShownTopic {
  readonly topic: string;
  readonly messages: number;
  readonly subscribers: number;
  readonly retainedBytes?: number;
  readonly stream?: string;
}

const HEAD = ["TOPIC", "MESSAGES", "SUBSCRIBERS", "RETAINED", "STREAM"];

const row = ({ topic, messages, subscribers, retainedBytes, stream }: ShownTopic): string[] => [
  topic,
  String(messages),
  String(subscribers),
  retainedBytes === undefined ? "" : `${retainedBytes} bytes`,
  stream ?? "",
];

/** `rillmq topics`: what a running broker knows about topics. */
export function addTopicsCommand(program: Command, done: Done): void {
  const topics = sub(
    program,
    "topics [filter]",
    "Topics of a running broker: published to lately, or with a retained message.",
  );
  listing(topics).action(async (filter: string | undefined, options: ListOptions) => {
    const request = { path: "/topics/list", body: filter === undefined ? {} : { filter } };
    done(await answerList("topics", options, request, HEAD, row));
  });
}
