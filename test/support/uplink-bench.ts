import { plainMessage } from "../../src/broker/message.ts";
import type { LogId, LogRecord } from "../../src/broker/store.ts";
import { TopicTable } from "../../src/broker/topic.ts";
import type { Instant } from "../../src/lib/clock.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { MemoryDisk, MemoryStore } from "../../src/store/memory-store.ts";
import type { LaneSettings } from "../../src/uplink/lane.ts";
import type { LossRange } from "../../src/uplink/loss-ledger.ts";
import { Uplink } from "../../src/uplink/uplink.ts";
import type { UplinkLimits, UplinkOptions } from "../../src/uplink/uplink-options.ts";
import { plainClock } from "./plain-clock.ts";
import { ScriptedRemote } from "./scripted-remote.ts";
import { VirtualTimer } from "./virtual-timer.ts";

const FLUSH_EVERY_MS = 5;
const topics = new TopicTable();

export interface UplinkBenchOptions {
  readonly streams?: readonly string[];
  readonly lanes?: readonly Omit<LaneSettings, "log">[];
  readonly limits?: Partial<UplinkLimits>;
  readonly seed?: number;
}

/** A second uplink over the same streams. */
export interface OtherUplink {
  readonly remote: ScriptedRemote;
  readonly uplink: Uplink;
}

/** An uplink over a store in memory to a scripted remote, all under virtual time; the edge can be killed and started again. */
export class UplinkBench {
  readonly timer = new VirtualTimer();
  readonly remote = new ScriptedRemote(this.timer);
  readonly disk = new MemoryDisk();
  readonly losses: LossRange[] = [];
  readonly events: string[] = [];
  store: MemoryStore;
  uplink: Uplink;
  readonly #others: Uplink[] = [];
  readonly #options: UplinkBenchOptions;
  #random: SeededRandom;

  constructor(options: UplinkBenchOptions = {}) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed ?? 1);
    this.store = this.#openStore();
    this.uplink = this.#openUplink();
    const flush = (): void => {
      this.store.flush();
      this.timer.schedule(FLUSH_EVERY_MS, flush);
    };
    flush();
  }

  get lanes(): readonly Omit<LaneSettings, "log">[] {
    return this.#options.lanes ?? [{ stream: "telemetry", class: "normal" }];
  }

  log(stream = "telemetry"): LogId {
    return this.store.openLog(stream);
  }

  /** Appends records and flushes them. */
  append(count: number, stream = "telemetry", message: Partial<LogRecord> = {}): void {
    for (let i = 0; i < count; i++) {
      const bytes = Buffer.from(`payload ${i}`);
      const plain = plainMessage(topics.of(`sim/${stream}`), bytes, this.timer.nowMs() as Instant);
      this.store.append(this.log(stream), { ...plain, publisherId: "device", ...message });
    }
    this.store.flush();
  }

  /** SIGKILL and restart: what was not flushed is gone. */
  restart(): void {
    this.remote.cut();
    // The killed process does nothing any more.
    this.uplink.stop(0).catch(() => undefined);
    this.store = this.#openStore();
    this.uplink = this.#openUplink();
    this.uplink.start();
  }

  /** Starts one more uplink over the same streams to a remote of its own. It does not survive a restart. */
  addUplink(name: string, options: Partial<UplinkOptions> = {}): OtherUplink {
    const remote = new ScriptedRemote(this.timer);
    const uplink = this.#openUplink({ name, driver: remote, ...options });
    this.#others.push(uplink);
    uplink.start();
    return { remote, uplink };
  }

  /** Ids of the records of a stream that the remote stored, without barriers. */
  stored(stream = "telemetry"): string[] {
    return this.remote.stored.filter((id) => id.includes(`/${stream}/`));
  }

  /** Their sequences. */
  storedSequences(stream = "telemetry"): number[] {
    return this.stored(stream).map((id) => Number(id.split("/").at(-1)));
  }

  #openStore(): MemoryStore {
    const store = new MemoryStore(this.disk, { flushes: "manual" });
    store.listen({
      onSealing: () => undefined,
      onFlushed: () => {
        if (store !== this.store) return;
        this.uplink.onFlushed();
        for (const other of this.#others) other.onFlushed();
      },
      onFailed: () => undefined,
    });
    for (const { stream } of this.lanes) store.openLog(stream);
    store.flush();
    return store;
  }

  #openUplink(options: Partial<UplinkOptions> = {}): Uplink {
    const { store } = this;
    return new Uplink({
      name: "centre",
      edgeId: "edge",
      lanes: this.lanes.map((lane) => ({ ...lane, log: store.openLog(lane.stream) })),
      store,
      driver: this.remote,
      clock: plainClock(() => this.timer.nowMs()),
      random: this.#random,
      timer: this.timer,
      log: (_level, event) => this.events.push(event),
      onLoss: (range) => this.losses.push(range),
      ...this.#options.limits,
      ...options,
    });
  }
}
