/**
 * Subjects. A record is published to
 *
 *     rill . {edgeId} . {lane} . {one token per level of the topic}
 *
 * each part escaped into one token, so that different topics never share a subject: `%` and the characters with a
 * meaning in a subject (`.` `*` `>` `$`), white space and controls become `%` and two hexadecimal digits
 * per UTF-8 byte; an empty level becomes a lone `%`. No token of a topic begins with `$`.
 */

const SUBJECT_PREFIX = "rill";
/** Last token of a barrier's subject; no topic can produce it. */
const BARRIER_TOKEN = "$barrier";
/** Longest subject in bytes: with reply and sizes it must fit the server's control line (4,096 by default). */
export const SUBJECT_BYTES_MAX = 3_500;

const UNSAFE = /[%.*>$\s\p{Cc}]/gu;

function escapeCharacter(character: string): string {
  let escaped = "";
  for (const byte of Buffer.from(character, "utf8")) {
    escaped += `%${byte.toString(16).padStart(2, "0").toUpperCase()}`;
  }
  return escaped;
}

/** One level, or name, as one token of a subject. Injective. */
export function subjectToken(level: string): string {
  return level === "" ? "%" : level.replace(UNSAFE, escapeCharacter);
}

/** What all subjects of a lane begin with, without the last dot. */
export function lanePrefix(edgeId: string, lane: string): string {
  return `${SUBJECT_PREFIX}.${subjectToken(edgeId)}.${subjectToken(lane)}`;
}

/** A topic's tokens, joined. Injective: escaped levels hold no dot and are never empty. */
export function topicTokens(topic: string): string {
  return topic.split("/").map(subjectToken).join(".");
}

/** Where the barriers of a lane are published. */
export function barrierSubject(prefix: string): string {
  return `${prefix}.${BARRIER_TOKEN}`;
}
