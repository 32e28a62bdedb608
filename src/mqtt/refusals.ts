/** CONNECT is refused: the reason code for each reason, and what is counted [MQTT 5.0 section 3.2.2.2]. */
import type { AuthenticationRefusal } from "../broker/authenticator.ts";
import type { Counters } from "../broker/counters.ts";
import type { ConnectRefusal } from "../broker/sessions.ts";
import { ReasonCode } from "./reason-code.ts";

/** By why it was not found out who the client is. */
export const AUTHENTICATION_REASON_CODES: Readonly<Record<AuthenticationRefusal, number>> = {
  "bad-credentials": ReasonCode.badUserNameOrPassword,
  "not-authorized": ReasonCode.notAuthorized,
  busy: ReasonCode.serverBusy,
};

/** By why there is no session for it. */
export const SESSION_REASON_CODES: Readonly<Record<ConnectRefusal, number>> = {
  "too-many-sessions": ReasonCode.quotaExceeded,
  "not-owner": ReasonCode.notAuthorized,
};

/** Counts a CONNECT that is refused with this reason code. */
export function countRefusal(counters: Counters, reasonCode: number): void {
  if (reasonCode === ReasonCode.badUserNameOrPassword) counters.refusedCredentials++;
  else if (reasonCode === ReasonCode.notAuthorized) counters.refusedNotAuthorized++;
  else if (reasonCode === ReasonCode.serverBusy) counters.refusedBusy++;
  else counters.connectionsRefused++;
}
