/** All the ways in which the broker is broken on purpose. */
import { ACKNOWLEDGEMENT_MUTANTS } from "./acknowledgement-mutants.ts";
import { CONSUMER_MUTANTS, REQUEST_MUTANTS } from "./consumer-mutants.ts";
import { DELIVERY_MUTANTS } from "./delivery-mutants.ts";
import { DEVICE_MUTANTS } from "./device-mutants.ts";
import { LIMIT_MUTANTS, RIGHTS_MUTANTS } from "./limit-mutants.ts";
import type { Mutant } from "./mutant.ts";
import { PACKET_MUTANTS } from "./packet-mutants.ts";
import { PATTERN_MUTANTS } from "./pattern-mutants.ts";
import { ANSWER_MUTANTS, RECOVERY_MUTANTS, V3_MUTANTS } from "./recovery-mutants.ts";
import { SESSION_MUTANTS, WILL_MUTANTS } from "./session-mutants.ts";
import { SIMULATION_MUTANTS } from "./simulation-mutants.ts";
import { RETAINED_MUTANTS, SHARED_MUTANTS, SUBSCRIPTION_MUTANTS } from "./subscription-mutants.ts";

export const MUTANTS: readonly Mutant[] = [
  ...ACKNOWLEDGEMENT_MUTANTS,
  ...DELIVERY_MUTANTS,
  ...SESSION_MUTANTS,
  ...WILL_MUTANTS,
  ...SUBSCRIPTION_MUTANTS,
  ...RETAINED_MUTANTS,
  ...SHARED_MUTANTS,
  ...PACKET_MUTANTS,
  ...LIMIT_MUTANTS,
  ...PATTERN_MUTANTS,
  ...RIGHTS_MUTANTS,
  ...RECOVERY_MUTANTS,
  ...V3_MUTANTS,
  ...ANSWER_MUTANTS,
  ...CONSUMER_MUTANTS,
  ...REQUEST_MUTANTS,
  ...SIMULATION_MUTANTS,
  ...DEVICE_MUTANTS,
];

/** A few of every kind with quick tests: they show that this machinery works. */
export const SMOKE_MUTANTS: ReadonlySet<string> = new Set([
  "drop-puback",
  "puback-before-flush",
  "overlap-at-lower-qos",
  "receive-maximum-of-client-ignored",
  "forget-session",
  "will-after-disconnect",
  "nul-accepted",
  "backlog-bound-ignored",
]);
