import type { Store } from "../broker/store.ts";
import type { Clock } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";
import type { BackoffLimits } from "./backoff.ts";
import type { LaneSettings } from "./lane.ts";
import type { LossRange } from "./loss-ledger.ts";
import type { PersistLimits } from "./progress-writer.ts";
import type { Driver } from "./remote.ts";
import type { Timer } from "./timer.ts";

/** Bounds of one uplink; times in milliseconds. */
export interface UplinkLimits extends BackoffLimits, PersistLimits {
  /** Records in flight per lane. */
  readonly windowMax: number;
  /** Bytes in flight over all lanes; one record larger than that goes alone. */
  readonly inflightBytesMax: number;
  /** How long a connection must have streamed for its backoff to start anew. */
  readonly stableMs: number;
  /** Between tries while somebody has to do something first. */
  readonly slowRetryMs: number;
  readonly connectTimeoutMs: number;
  /** Without any sign of progress of a reconcile. */
  readonly reconcileTimeoutMs: number;
  /** The least of the progress deadline: max(this, 4 round trips + time to transfer what is in flight). */
  readonly progressDeadlineMinMs: number;
  /** How often changed credentials are looked for while the remote refuses them. */
  readonly credentialsCheckMs: number;
  /** Longest pause while a record that ends connections is looked for. */
  readonly probeRetryMs: number;
  /** Bytes of dead letters on disk; beyond it the oldest go. */
  readonly deadLetterBytesMax: number;
}

export const UPLINK_LIMITS: UplinkLimits = {
  windowMax: 1_024,
  inflightBytesMax: 4_194_304,
  backoffMinMs: 1_000,
  backoffMaxMs: 60_000,
  stableMs: 30_000,
  slowRetryMs: 60_000,
  connectTimeoutMs: 10_000,
  reconcileTimeoutMs: 30_000,
  progressDeadlineMinMs: 5_000,
  credentialsCheckMs: 2_000,
  probeRetryMs: 5_000,
  deadLetterBytesMax: 67_108_864,
  persistEveryMs: 200,
  persistEveryBytes: 1_048_576,
};

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface UplinkOptions extends Partial<UplinkLimits> {
  /** Unique among the uplinks; part of the progress keys. */
  readonly name: string;
  readonly edgeId: string;
  readonly lanes: readonly LaneSettings[];
  readonly store: Store;
  readonly driver: Driver;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: (level: LogLevel, event: string, fields: Readonly<Record<string, unknown>>) => void;
  /** Streams are kept for it until it has delivered them. Default: true. */
  readonly pin?: boolean;
  /** Told of every dropped range as it is found, before it is on disk. After a crash the same range may come again. */
  readonly onLoss?: (range: LossRange) => void;
  /** Default: the machine's. */
  readonly timer?: Timer;
}
