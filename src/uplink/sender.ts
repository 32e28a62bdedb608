import { inflightBytesOf, type Lane } from "./lane.ts";
import type { Failure, Link } from "./remote.ts";

export interface SendLimits {
  readonly inflightBytesMax: number;
}

/** A lane whose next record cannot be sent. */
export interface StuckLane {
  readonly lane: Lane;
  /** The record; 0: none could be read. */
  readonly sequence: number;
  readonly failure: Failure;
}

/** Records sent in one turn before others have theirs. */
const TURN_RECORDS_MAX = 512;
/** Records a normal lane sends before the next one does. */
const QUANTUM_RECORDS = 64;
/** Bytes read from the store at once. */
const READ_BYTES_MAX = 262_144;
/** Share of a shared window that normal lanes leave free when there is an alarm lane. */
const ALARM_RESERVE = 1 / 8;

/**
 * Decides whose record goes next: alarm lanes strictly first, the others in turn, all of them within the remote's
 * window and the bytes that may be in flight.
 */
export class Sender {
  readonly #alarms: readonly Lane[];
  readonly #normals: readonly Lane[];
  readonly #lanes: readonly Lane[];
  readonly #limits: SendLimits;
  /** The normal lane whose turn it is. */
  #next = 0;
  #isCutShort = false;

  constructor(lanes: readonly Lane[], limits: SendLimits) {
    this.#lanes = lanes;
    this.#alarms = lanes.filter((lane) => lane.settings.class === "alarm");
    this.#normals = lanes.filter((lane) => lane.settings.class === "normal");
    this.#limits = limits;
  }

  /** True when the last `send` stopped for the sake of others. */
  get isCutShort(): boolean {
    return this.#isCutShort;
  }

  get inflightCount(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.inflightCount, 0);
  }

  /** Sends what may be sent now; stops early at a lane that cannot go on and returns it. */
  send(link: Link, windowMax: number, nowMs: number): StuckLane | undefined {
    this.#isCutShort = false;
    let budget = TURN_RECORDS_MAX;
    for (const lane of this.#alarms) {
      const sent = this.#sendFrom(lane, link, windowMax, budget, nowMs);
      if (typeof sent !== "number") return sent;
      budget -= sent;
    }
    const reserve = this.#alarms.length > 0 ? Math.ceil(windowMax * ALARM_RESERVE) : 0;
    const normalWindow = Math.max(1, windowMax - reserve);
    let idleLanes = 0;
    while (budget > 0 && idleLanes < this.#normals.length) {
      const lane = this.#normals[this.#next % this.#normals.length];
      if (lane === undefined) break;
      this.#next++;
      const sent = this.#sendFrom(
        lane,
        link,
        normalWindow,
        Math.min(budget, QUANTUM_RECORDS),
        nowMs,
      );
      if (typeof sent !== "number") return sent;
      budget -= sent;
      idleLanes = sent === 0 ? idleLanes + 1 : 0;
    }
    if (budget <= 0) this.#isCutShort = true;
    return undefined;
  }

  #sendFrom(
    lane: Lane,
    link: Link,
    windowMax: number,
    recordsMax: number,
    nowMs: number,
  ): number | StuckLane {
    const bytesMax = this.#limits.inflightBytesMax;
    let inflight = this.inflightCount;
    let inflightBytes = this.#lanes.reduce((sum, other) => sum + other.inflightBytes, 0);
    let sent = 0;
    while (sent < recordsMax) {
      const room = Math.min(lane.room(nowMs), windowMax - inflight);
      if (room <= 0 || (inflight > 0 && inflightBytes >= bytesMax)) break;
      try {
        const readMax = Math.max(1, Math.min(READ_BYTES_MAX, bytesMax - inflightBytes));
        const record = lane.reader.peek(room, readMax);
        if (record === undefined) break;
        const bytes = inflightBytesOf(record);
        if (inflight > 0 && inflightBytes + bytes > bytesMax) break;
        const failure = link.send(lane.index, record);
        if (failure !== undefined) {
          const { sequence } = record;
          if (failure.class === "poison") return { lane, sequence, failure };
          const reason = `record ${sequence} cannot be sent: ${failure.reason}`;
          return { lane, sequence, failure: { ...failure, reason } };
        }
        lane.reader.take();
        lane.sent(record, bytes, nowMs);
        inflight++;
        inflightBytes += bytes;
        sent++;
      } catch (error) {
        const failure: Failure = { class: "lane", reason: `cannot read the log: ${error}` };
        return { lane, sequence: 0, failure };
      }
    }
    if (lane.reader.isCutShort) this.#isCutShort = true;
    return sent;
  }
}
