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

export const QUEUE_TOPIC = "$queue/";
export const STREAM_TOPIC = "$stream/";

/** The name behind a prefix; undefined: the topic has another form. */
export function nameInTopic(topic: string, prefix: string): string | undefined {
  if (!topic.startsWith(prefix)) return undefined;
  const name = topic.slice(prefix.length);
  return isName(name) ? name : undefined;
}
