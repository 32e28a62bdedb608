/** How the broker makes those of its parts that need nothing of how it publishes: whom they tell what, and who counts it. */
import type { Clock } from "../lib/clock.ts";
import type { DeadlineHeap } from "../lib/deadline-heap.ts";
import type { BrokerOptions } from "./broker-options.ts";
import { Consumers } from "./consumers.ts";
import type { Counters } from "./counters.ts";
import type { GiveUpReason } from "./deliveries-context.ts";
import type { Due } from "./due.ts";
import type { DuplicateWindows } from "./duplicate-windows.ts";
import type { Message } from "./message.ts";
import type { AllPatternCounts } from "./pattern-counts.ts";
import { Queues } from "./queues.ts";
import type { Streams } from "./streams.ts";
import { SysTopics, type SystemCore } from "./sys-topics.ts";
import type { TopicTable } from "./topic.ts";

/** What they share; the broker itself. */
export interface BrokerParts {
  readonly clock: Clock;
  readonly deadlines: DeadlineHeap<Due>;
  readonly topics: TopicTable;
  readonly counters: Counters;
  readonly patternCounts: AllPatternCounts;
  readonly duplicates: DuplicateWindows;
  readonly streams: Streams;
}

/** The queues, those of the configuration among them. */
export function createQueues(options: BrokerOptions, parts: BrokerParts): Queues {
  const { clock, deadlines, topics, duplicates, counters } = parts;
  const { store, limits, queues: configured } = options;
  return new Queues({
    counters,
    counts: parts.patternCounts.queue,
    store,
    clock,
    deadlines,
    topics,
    duplicates,
    limits: limits.patterns,
    configured,
    events: {
      onGivenUp: (queue, reason, to) => onGivenUp(options, counters, queue, reason, to),
      onHeld: () => {
        counters.deadLettersHeld++;
      },
    },
  });
}

/** The durable consumers of all streams. */
export function createConsumers(options: BrokerOptions, parts: BrokerParts): Consumers {
  const { clock, deadlines, streams, counters } = parts;
  return new Consumers({
    counters,
    counts: parts.patternCounts.stream,
    store: options.store,
    clock,
    deadlines,
    streams,
    consumersMax: options.limits.patterns.consumersMax,
    events: {
      onGivenUp: ({ stream }, reason, to) => onGivenUp(options, counters, stream.name, reason, to),
      onHeld: () => {
        counters.deadLettersHeld++;
      },
      onExpired: () => {
        counters.droppedExpired++;
      },
      onLost: (consumer, range) => {
        options.onConsumerLoss(consumer, range);
        for (const holder of consumer.holders) holder.onLost(range);
      },
    },
  });
}

function onGivenUp(
  options: BrokerOptions,
  counters: Counters,
  from: string,
  reason: GiveUpReason,
  to: string | undefined,
): void {
  if (to === undefined) counters.droppedGivenUp++;
  else counters.deadLettered++;
  options.onGivenUp(from, reason, to);
}

/** What the broker tells about itself: to whoever listens, past streams and the store. undefined: nothing. */
export function createSystem(
  { system }: BrokerOptions,
  { clock, deadlines }: BrokerParts,
  isWanted: () => boolean,
  publish: (message: Message) => void,
  core: () => SystemCore,
): SysTopics | undefined {
  if (system === undefined) return undefined;
  return new SysTopics(system, { clock, deadlines, isWanted, publish, core });
}
