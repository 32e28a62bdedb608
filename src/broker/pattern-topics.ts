/**
 * Topics under which MQTT clients reach queues and streams, where that is allowed:
 *
 *     PUBLISH    $queue/NAME   sends              SUBSCRIBE   $queue/NAME, $share/ANY/$queue/NAME   receives
 *     PUBLISH    $stream/NAME  appends            SUBSCRIBE   $stream/NAME/START[/filter]           reads
 *
 * START is `first`, `last`, `new`, `seq/NUMBER`, `time/WHEN` (milliseconds since 1970 or ISO 8601) or `ago/SECONDS`.
 * Rules name them as `$queue/NAME` and `$stream/NAME`.
 */
import { isName } from "./names.ts";
import { isShared, plainFilterOf } from "./shared-filter.ts";
import type { StartPosition } from "./start-position.ts";
import { isTopicFilter } from "./topic.ts";

export const QUEUE_TOPIC = "$queue/";
export const STREAM_TOPIC = "$stream/";

/** What a subscription of this kind asks for. */
export type PatternFilter =
  | { readonly kind: "queue"; readonly name: string }
  | {
      readonly kind: "stream";
      readonly name: string;
      readonly start: StartPosition;
      /** Of the records' topics; undefined: all. */
      readonly filter: string | undefined;
    };

/** The name behind a prefix; undefined: the topic has another form. */
export function nameInTopic(topic: string, prefix: string): string | undefined {
  if (!topic.startsWith(prefix)) return undefined;
  const name = topic.slice(prefix.length);
  return isName(name) ? name : undefined;
}

/** True for what names a queue or stream, well formed or not. */
export const isPatternTopic = (topic: string): boolean =>
  topic.startsWith(QUEUE_TOPIC) || topic.startsWith(STREAM_TOPIC);

/** True when that is well formed. */
export const isNamedPattern = (topic: string): boolean =>
  nameInTopic(topic, QUEUE_TOPIC) !== undefined || nameInTopic(topic, STREAM_TOPIC) !== undefined;

/** The same of a topic filter, shared or not. */
export const isPatternFilter = (topicFilter: string): boolean =>
  isPatternTopic(plainFilterOf(topicFilter));

/** What rules know a topic filter by: the queue or stream; any other filter as it is. */
export function ruleTopicOf(topicFilter: string): string {
  const plain = plainFilterOf(topicFilter);
  if (!plain.startsWith(STREAM_TOPIC)) return plain;
  const end = plain.indexOf("/", STREAM_TOPIC.length);
  return end < 0 ? plain : plain.slice(0, end);
}

/** Undefined: it is not one, or not well formed. */
export function patternFilterOf(topicFilter: string): PatternFilter | undefined {
  const plain = plainFilterOf(topicFilter);
  if (plain.startsWith(QUEUE_TOPIC)) {
    const name = nameInTopic(plain, QUEUE_TOPIC);
    return name === undefined ? undefined : { kind: "queue", name };
  }
  if (!plain.startsWith(STREAM_TOPIC) || isShared(topicFilter)) return undefined;
  const [name = "", how = "", ...rest] = plain.slice(STREAM_TOPIC.length).split("/");
  if (!isName(name)) return undefined;
  const takesValue = how === "seq" || how === "time" || how === "ago";
  const start = startOf(how, takesValue ? rest.shift() : undefined);
  const filter = rest.length === 0 ? undefined : rest.join("/");
  if (start === undefined) return undefined;
  if (filter !== undefined && !isTopicFilter(filter)) return undefined;
  return { kind: "stream", name, start, filter };
}

function startOf(how: string, value: string | undefined): StartPosition | undefined {
  if (how === "first" || how === "last" || how === "new") return { at: how };
  if (value === undefined) return undefined;
  const number = /^[0-9]{1,15}$/.test(value) ? Number(value) : undefined;
  if (how === "seq") return number === undefined ? undefined : { sequence: number };
  if (how === "ago") return number === undefined ? undefined : { agoMs: number * 1_000 };
  // biome-ignore lint/style/noRestrictedGlobals: it reads a date, not the clock
  const at = number ?? Date.parse(value);
  return Number.isFinite(at) ? { timeAt: at } : undefined;
}
