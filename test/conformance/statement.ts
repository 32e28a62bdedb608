/** What a statement is about and, where no test shows it, why not. */

/** Why a statement may have no test. */
export const REASONS = {
  client: "client side only",
  "not-offered": "optional and not offered",
  "not-observable": "not observable from outside",
} as const;
export type Reason = keyof typeof REASONS;

/** A statement of the standard; its text is there, the subject here is in our words. */
export type Statement =
  /** Tests show it. */
  | { readonly subject: string; readonly reason?: undefined; readonly why?: undefined }
  /** No test shows it, and `why`, in a sentence, is the reason. */
  | { readonly subject: string; readonly reason: Reason; readonly why: string };

/** By number, such as `MQTT-3.1.2-4`. */
export type Statements = Readonly<Record<string, Statement>>;
