/**
 * Text of others on a terminal. Names come from clients: what steers a terminal, hides or turns text, or breaks lines is shown as an
 * escape, `\u{1b}` for ESC; a backslash is doubled, so that every text has one look of its own.
 */

// Control characters, line and paragraph separators, marks that turn or join text, and halves of surrogate pairs.
const UNPRINTABLE = /[\\\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** The text as it can be shown in a line. */
export const printable = (text: string): string =>
  text.replace(UNPRINTABLE, (char) =>
    char === "\\" ? "\\\\" : `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  );

// JSON leaves these as they are.
const UNPRINTABLE_IN_JSON = /[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}]/gu;

/** A value as one line of JSON that is safe on a terminal, too. */
export const printableJson = (value: unknown): string =>
  (JSON.stringify(value) ?? "null").replace(UNPRINTABLE_IN_JSON, (char) => {
    let escaped = "";
    for (let i = 0; i < char.length; i++) {
      escaped += `\\u${char.charCodeAt(i).toString(16).padStart(4, "0")}`;
    }
    return escaped;
  });
