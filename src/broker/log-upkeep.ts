/** Logs let go of what nobody needs: expired, delivered, copied; and what a stream dropped although somebody needed it is told. */
import type { BrokerOptions } from "./broker-options.ts";
import type { Consumers } from "./consumers.ts";
import type { Counters } from "./counters.ts";
import { trimFreeLogs } from "./named-logs.ts";
import type { Sessions } from "./sessions.ts";
import type { LogId, Sequence, Store } from "./store.ts";
import type { StreamLoss } from "./stream.ts";
import type { Streams } from "./streams.ts";

/** Who reads logs, and what of the broker is told about them. */
export interface LogReaders {
  readonly store: Store;
  readonly counters: Counters;
  readonly streams: Streams;
  readonly sessions: Sessions;
  readonly consumers: Consumers;
}

/** A chore of the broker. */
export class LogUpkeep {
  readonly #options: Pick<BrokerOptions, "clock" | "deliveredBefore" | "onLoss">;
  readonly #readers: LogReaders;

  constructor(
    options: Pick<BrokerOptions, "clock" | "deliveredBefore" | "onLoss">,
    readers: LogReaders,
  ) {
    this.#options = options;
    this.#readers = readers;
  }

  /** Lets go of what can go. True: more is to be copied before it can, so it is to be called again soon. */
  run(): boolean {
    const { store, streams, sessions } = this.#readers;
    for (const stream of streams.all) this.account(stream.expire(this.#options.clock));
    const deliveredBefore = (log: LogId): Sequence | undefined => this.#deliveredBefore(log);
    const pinnedBytes = streams.trim(sessions.oldestOwed(), deliveredBefore);
    const refusal = store.refusal();
    let isCopying = false;
    if (refusal === undefined || refusal === "store-full") {
      isCopying = sessions.spill(pinnedBytes);
      // With the copies in the open group the logs may let go of them in the same commit.
      streams.trim(sessions.oldestOwed(), deliveredBefore);
    }
    trimFreeLogs(store, sessions.oldestOwed());
    return isCopying;
  }

  /** Counts and tells what a stream dropped although somebody has not had it: what all uplinks delivered is no loss. */
  account(loss: StreamLoss | undefined): void {
    if (loss === undefined) return;
    const delivered = this.#options.deliveredBefore(loss.log);
    const from = Math.max(loss.from, Math.min(delivered ?? loss.from, loss.to + 1)) as Sequence;
    if (from > loss.to || (delivered === undefined && loss.reason === "max-age")) return;
    this.#readers.counters.droppedOldest += loss.to - from + 1;
    this.#options.onLoss({ ...loss, from });
  }

  /** Below what uplinks have delivered and durable consumers have settled; undefined: nobody of them reads it. */
  #deliveredBefore(log: LogId): Sequence | undefined {
    const delivered = this.#options.deliveredBefore(log);
    const needed = this.#readers.consumers.neededFrom(log);
    if (delivered === undefined || needed === undefined) return delivered ?? needed;
    return delivered < needed ? delivered : needed;
  }
}
