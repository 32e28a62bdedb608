import { plainMessage } from "../../src/broker/message.ts";
import type { LogRecord } from "../../src/broker/store.ts";
import { TopicTable } from "../../src/broker/topic.ts";
import type { Instant } from "../../src/lib/clock.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { MemoryDisk, MemoryStore } from "../../src/store/memory-store.ts";
import type { LaneSettings } from "../../src/uplink/lane.ts";
import { encodeProgress, Progress, progressKey } from "../../src/uplink/progress.ts";
import type { Driver, RemotePosition } from "../../src/uplink/remote.ts";
import { Uplink } from "../../src/uplink/uplink.ts";
import type { UplinkLimits } from "../../src/uplink/uplink-options.ts";
import type { LaneStatus } from "../../src/uplink/uplink-status.ts";
import { eventually } from "./json-process.ts";
import { plainClock } from "./plain-clock.ts";

const topics = new TopicTable();

export interface LiveMessage extends Partial<Omit<LogRecord, "topic">> {
  readonly topic: string;
  readonly payload: string;
}

/** A store in memory and an uplink on real time, for tests against real remotes. */
export class LiveEdge {
  readonly store: MemoryStore;
  readonly uplink: Uplink;
  readonly logged: string[] = [];

  /**
   * @param remote what the progress says about the remote; undefined: nothing was ever sent
   * @param lanes further settings of the lanes, one for all or one for each
   */
  constructor(
    driver: Driver,
    streams: readonly string[] = ["telemetry"],
    remote?: RemotePosition,
    lanes: Partial<LaneSettings> | readonly Partial<LaneSettings>[] = {},
    limits: Partial<UplinkLimits> = {},
  ) {
    const disk = new MemoryDisk();
    if (remote !== undefined) {
      const before = new MemoryStore(disk, { flushes: "manual" });
      const record = encodeProgress(new Progress(undefined, remote));
      before.put("meta", progressKey("centre", streams[0] ?? ""), record);
      before.flush();
    }
    this.store = new MemoryStore(disk, { epoch: "00112233445566aa" });
    this.store.listen({
      onSealing: () => undefined,
      onFlushed: () => this.uplink.onFlushed(),
      onFailed: () => undefined,
    });
    this.uplink = new Uplink({
      name: "centre",
      edgeId: "plant-7",
      lanes: streams.map((stream, index) => ({
        stream,
        log: this.store.openLog(stream),
        class: "normal",
        ...(Array.isArray(lanes) ? lanes[index] : lanes),
      })),
      store: this.store,
      driver,
      clock: plainClock(() => Date.now()),
      random: new SeededRandom(1),
      log: (level, event, fields) =>
        this.logged.push(`${level} ${event} ${JSON.stringify(fields)}`),
      backoffMinMs: 50,
      backoffMaxMs: 300,
      slowRetryMs: 300,
      progressDeadlineMinMs: 1_000,
      connectTimeoutMs: 2_000,
      credentialsCheckMs: 100,
      ...limits,
    });
    this.uplink.start();
  }

  append({ topic, payload, ...rest }: LiveMessage, stream = "telemetry"): void {
    const bytes = Buffer.from(payload);
    const message = plainMessage(topics.of(topic), bytes, Date.now() as Instant);
    const log = this.store.openLog(stream);
    this.store.append(log, { ...message, publisherId: "device", ...rest });
  }

  appendMany(count: number, prefix = ""): void {
    for (let i = 0; i < count; i++) {
      this.append({ topic: `sim/d${i % 7}/sensor`, payload: `${prefix}${i}` });
    }
  }

  lane(index = 0): LaneStatus {
    const lane = this.uplink.status().lanes[index];
    if (lane === undefined) throw new RangeError(`no lane ${index}`);
    return lane;
  }

  /** Waits until nothing is left to send. */
  async drained(timeoutMs = 15_000): Promise<void> {
    await this.store.drain();
    await this.until("the backlog drained", () => this.lane().lagMessages === 0, timeoutMs);
  }

  until(what: string, isTrue: () => boolean, timeoutMs = 10_000): Promise<void> {
    return eventually(what, isTrue, timeoutMs, () =>
      [JSON.stringify(this.uplink.status()), ...this.logged.slice(-15)].join("\n"),
    );
  }
}
