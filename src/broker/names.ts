/**
 * The one rule for names of streams, queues, consumers and groups, wherever they come from: frames, topics, routes. Names are parts of keys, of topics
 * and of lists of destinations. Those of the configuration are narrower, because they become tokens of other systems (`config-measures.ts`).
 */
import { isWithinBytes } from "../lib/text-bytes.ts";

/** Longest name, in bytes of UTF-8. */
export const NAME_BYTES_MAX = 256;
/** Control characters, and what is no character by itself (half a surrogate pair). */
const NOT_IN_NAMES = /[\p{Cc}\p{Cs}/+#*>;:]/u;

/** For people: what `isName` asks for. */
export const NAME_RULE = `1 to ${NAME_BYTES_MAX} bytes of UTF-8 without control characters, / + # * > ; : and without $ in front`;

export const isName = (text: string): boolean =>
  text.length > 0 &&
  isWithinBytes(text, NAME_BYTES_MAX) &&
  !text.startsWith("$") &&
  !NOT_IN_NAMES.test(text);
