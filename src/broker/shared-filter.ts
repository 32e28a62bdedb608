/** How a shared subscription is written: `$share/ShareName/TopicFilter` [MQTT 5.0 section 4.8.2]. */
import { isTopicFilter } from "./topic.ts";

const PREFIX = "$share/";

/** True for what is meant as a shared subscription, well formed or not. */
export const isShared = (topicFilter: string): boolean => topicFilter.startsWith(PREFIX);

/** The topic filter within a shared subscription; any other filter as it is. */
export function plainFilterOf(topicFilter: string): string {
  if (!isShared(topicFilter)) return topicFilter;
  const slash = topicFilter.indexOf("/", PREFIX.length);
  return slash < 0 ? "" : topicFilter.slice(slash + 1);
}

/**
 * True when this may be subscribed to: a topic filter, or a shared subscription whose ShareName is at least one character
 * without `/`, `+` and `#` [MQTT-4.8.2-1, 4.8.2-2] with a topic filter that is not shared itself.
 */
export function isSubscribable(topicFilter: string): boolean {
  if (!isShared(topicFilter)) return isTopicFilter(topicFilter);
  const slash = topicFilter.indexOf("/", PREFIX.length);
  const shareName = topicFilter.slice(PREFIX.length, Math.max(slash, PREFIX.length));
  if (shareName === "" || /[+#]/.test(shareName)) return false;
  const plain = plainFilterOf(topicFilter);
  return isTopicFilter(plain) && !isShared(plain);
}
