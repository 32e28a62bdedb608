/** The corpus of malformed input: every case names the statement it breaks, and the packet that would be right. */
import { CONNECT_CASES } from "./connect-cases.ts";
import { CONVERSATION_CASES } from "./conversation-cases.ts";
import { FRAMING_CASES } from "./framing-cases.ts";
import type { MalformedCase } from "./malformed-case.ts";
import { PROPERTY_CASES } from "./property-cases.ts";
import { STRING_CASES } from "./string-cases.ts";

/** All cases. */
export const CORPUS: readonly MalformedCase[] = [
  ...FRAMING_CASES,
  ...PROPERTY_CASES,
  ...STRING_CASES,
  ...CONNECT_CASES,
  ...CONVERSATION_CASES,
];
