import type { Sequence, Store } from "../broker/store.ts";
import type { Clock } from "../lib/clock.ts";
import type { Lane } from "./lane.ts";
import type { Guarantee } from "./remote.ts";

export type UplinkState =
  | "paused"
  | "waiting"
  | "connecting"
  | "reconciling"
  | "streaming"
  | "draining"
  | "blocked";

export type LaneState = "idle" | "reconciling" | "streaming" | "throttled" | "waiting" | "blocked";

export interface LaneStatus {
  readonly name: string;
  readonly stream: string;
  readonly state: LaneState;
  /** Why it does not stream; undefined: it does, or its turn has not come. */
  readonly reason: string | undefined;
  /** Records that are not done yet. */
  readonly lagMessages: number;
  /** What they weigh in the store, estimated from the log's mean. */
  readonly lagBytes: number;
  /** Age of the oldest record that is not done; undefined: none. */
  readonly oldestUnsentMs: number | undefined;
  readonly inflight: number;
  readonly acknowledged: number;
  readonly resent: number;
  readonly reconciledFound: number;
  readonly dropped: number;
  /** Refused for good since the start, and kept among the dead letters. */
  readonly deadLetters: number;
  readonly throttled: number;
  /** Undefined until the first reconcile. */
  readonly guarantee: Guarantee | undefined;
}

export interface UplinkStatus {
  readonly name: string;
  readonly driver: string;
  readonly state: UplinkState;
  /** Why it is blocked, or what it waits after. */
  readonly blockedReason: string | undefined;
  /** How long it has been in this state. */
  readonly sinceMs: number;
  /** A record that ends connections is looked for: one record is in flight at a time. */
  readonly isProbing: boolean;
  /** Whether streams are kept for it until it has delivered them. */
  readonly pin: boolean;
  /** Dead letters on disk. */
  readonly deadLetters: { readonly count: number; readonly bytes: number };
  readonly lanes: readonly LaneStatus[];
  /** The weakest guarantee of its lanes; at-least-once until every lane was reconciled once. */
  readonly guarantee: Guarantee;
}

const UNKNOWN_GUARANTEE: Guarantee = {
  kind: "at-least-once",
  why: "not every lane has been reconciled with the remote yet",
};

const STRENGTH = { "at-most-once": 0, "at-least-once": 1, "exactly-once": 2 } as const;

/** The weakest of the lanes' guarantees. */
export function weakestGuarantee(lanes: readonly Lane[]): Guarantee {
  let weakest: Guarantee | undefined;
  for (const { guarantee } of lanes) {
    if (guarantee === undefined) return UNKNOWN_GUARANTEE;
    if (weakest === undefined || STRENGTH[guarantee.kind] < STRENGTH[weakest.kind]) {
      weakest = guarantee;
    }
  }
  return weakest ?? UNKNOWN_GUARANTEE;
}

/** What one lane looks like now. */
export function laneStatus(lane: Lane, store: Store, clock: Clock, nowMs: number): LaneStatus {
  const { settings, progress, counters, phase } = lane;
  const stats = store.stats(settings.log);
  const last = stats.nextSequence - 1;
  const kept = stats.nextSequence - stats.firstSequence;
  let lagMessages = 0;
  for (const open of progress.done.missing(Math.max(1, stats.firstSequence), last)) {
    lagMessages += open.to - open.from + 1;
  }
  const isStalled = phase.kind === "waiting" || phase.kind === "blocked";
  const isThrottled = phase.kind === "streaming" && nowMs < lane.throttledUntilMs;
  return {
    name: lane.name,
    stream: settings.stream,
    state: isThrottled ? "throttled" : phase.kind,
    reason: isStalled ? phase.failure.reason : undefined,
    lagMessages,
    lagBytes: kept > 0 ? Math.round((stats.bytes * lagMessages) / kept) : 0,
    oldestUnsentMs: lagMessages === 0 ? undefined : oldestUnsentMs(lane, store, clock),
    inflight: lane.inflightCount,
    acknowledged: counters.acknowledged,
    resent: counters.resent,
    reconciledFound: counters.reconciledFound,
    dropped: counters.dropped,
    deadLetters: counters.deadLetters,
    throttled: counters.throttled,
    guarantee: lane.guarantee,
  };
}

function oldestUnsentMs(lane: Lane, store: Store, clock: Clock): number | undefined {
  let receivedAt = lane.oldestInflightAt;
  if (receivedAt === undefined) {
    const first = lane.progress.done.firstMissing(store.stats(lane.settings.log).firstSequence);
    receivedAt = store.read(lane.settings.log, first as Sequence, 1, 1).records[0]?.receivedAt;
  }
  return receivedAt === undefined ? undefined : Math.max(0, clock.since(receivedAt));
}
