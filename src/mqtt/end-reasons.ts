import type { EndReason } from "../broker/subscriber.ts";
import { ReasonCode } from "./reason-code.ts";

/** The reason code of DISCONNECT for each reason why the broker ends a connection [MQTT-3.14.2-1]. */
export const END_REASON_CODES: Readonly<Record<EndReason, number>> = {
  "session-taken-over": ReasonCode.sessionTakenOver,
  "keep-alive-timeout": ReasonCode.keepAliveTimeout,
  "server-shutting-down": ReasonCode.serverShuttingDown,
  "quota-exceeded": ReasonCode.quotaExceeded,
  "receive-maximum-exceeded": ReasonCode.receiveMaximumExceeded,
  "administrative-action": ReasonCode.administrativeAction,
  "store-failed": ReasonCode.implementationSpecificError,
};
