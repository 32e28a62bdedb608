/** Names of streams and queues, where they are made while the broker runs or written in topics and routes. */

const NAME_LENGTH_MAX = 256;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const NOT_IN_NAMES = /[\u0000-\u001f\u007f/+#*>;:]/;

/** 1 to 256 characters without control characters, `/ + # * > ; :` and without `$` in front. */
export const isName = (text: string): boolean =>
  text.length > 0 &&
  text.length <= NAME_LENGTH_MAX &&
  !text.startsWith("$") &&
  !NOT_IN_NAMES.test(text);
