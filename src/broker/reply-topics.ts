/**
 * Where replies go. MQTT 5 devices and native responders are told a response topic, `$reply/TOKEN`: the token is 128 random bits, only
 * who got the request knows it, and it is good for one reply. MQTT 3.1.1 has no response topics; for such devices there is a convention:
 *
 *     request   cmd/LEVELS…/{requestId}     goes to   cmd/LEVELS…/TOKEN
 *     reply                                           reply/LEVELS…/TOKEN
 *
 * The last level is written as `{requestId}`; what the device gets has the token there.
 */

const REPLY_PREFIX = "$reply/";
const COMMAND_PREFIX = "cmd/";
const CONVENTION_PREFIX = "reply/";
const PLACEHOLDER = "/{requestId}";

/** True for what was given out as response topic, and what looks like it. */
export const isReplyTopic = (topic: string): boolean => topic.startsWith(REPLY_PREFIX);

/** The token in a topic that `isReplyTopic`. */
export const tokenOf = (replyTopic: string): string => replyTopic.slice(REPLY_PREFIX.length);

export const replyTopicOf = (token: string): string => REPLY_PREFIX + token;

/** A request by the convention, and where its answer is published. */
export interface Convention {
  readonly topic: string;
  readonly replyTopic: string;
}

/** Undefined: the topic is not written by the convention. */
export function conventionOf(topic: string, token: string): Convention | undefined {
  if (!topic.startsWith(COMMAND_PREFIX) || !topic.endsWith(PLACEHOLDER)) return undefined;
  const levels = topic.slice(COMMAND_PREFIX.length, topic.length - PLACEHOLDER.length);
  if (levels.length === 0) return undefined;
  return {
    topic: `${COMMAND_PREFIX}${levels}/${token}`,
    replyTopic: `${CONVENTION_PREFIX}${levels}/${token}`,
  };
}
