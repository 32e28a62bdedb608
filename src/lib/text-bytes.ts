const utf8 = new TextEncoder();

/** True when text has at most so many bytes in UTF-8. Hot path: short text is not encoded, a unit of UTF-16 has three bytes at most. */
export const isWithinBytes = (text: string, bytesMax: number): boolean =>
  text.length * 3 <= bytesMax || (text.length <= bytesMax && utf8.encode(text).length <= bytesMax);
