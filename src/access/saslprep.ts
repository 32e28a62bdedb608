/**
 * SASLprep [RFC 4013]: user names and passwords in one of the many ways in which Unicode can write them. Mapping, normalisation and the
 * prohibited characters are as the RFC has them; what JavaScript has no tables for is left out: unassigned code points of Unicode 3.2 are taken
 * (as in queries), and the rule about mixed writing directions is not checked.
 */

/** Table C.1.2 of RFC 3454: becomes a plain space. */
const OTHER_SPACES = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/gu;
/** Table B.1: becomes nothing. */
const NOTHING =
  /\u00ad|\u034f|\u1806|[\u180b-\u180d]|\u200c|\u200d|\u2060|[\ufe00-\ufe0f]|\ufeff/gu;
/** Tables C.2 to C.9: control, private use, no characters, surrogates, and what changes how text is shown. */
const PROHIBITED =
  /[\p{Cc}\p{Co}\p{Cs}\p{Noncharacter_Code_Point}\u06dd\u070f\u180e\u2028\u2029\u2061-\u2063\u206a-\u206f\ufff9-\ufffd\u2ff0-\u2ffb\u200e\u200f\u202a-\u202e\u{1d173}-\u{1d17a}\u{e0001}\u{e0020}-\u{e007f}]/u;

/** The text as it is compared; undefined when it has characters that may not be in it. */
export function saslprep(text: string): string | undefined {
  const mapped = text.replace(OTHER_SPACES, " ").replace(NOTHING, "").normalize("NFKC");
  return PROHIBITED.test(mapped) ? undefined : mapped;
}
