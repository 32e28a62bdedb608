/**
 * Finds the record that makes the remote hang up without a word.
 *
 *     calm       any window                       -> probing: three connections end with the same lowest sequence of a
 *                                                    lane in flight and no acknowledgement in between, or one ends with
 *                                                    a reason that is about a record
 *     probing    one record in flight at a time   -> control: three connections end soon after the same record was
 *                                                    sent alone; -> calm: all that was in flight is acknowledged
 *     control    the suspect is held back and     -> calm: another record is taken, so the suspect is guilty
 *                others go first                  -> probing: the connection ends all the same, the suspect is cleared
 *
 * A suspect that has no other record to be compared with is guilty after five such ends. Without the control a link that
 * breaks every few seconds would make dead letters of good records. Knows no clock: time comes in.
 */
const STRIKES = 3;
const DEATHS = 3;
const DEATHS_ALONE = 5;

/** A record by its lane's place and its sequence. */
export interface ProbedRecord {
  readonly lane: number;
  readonly sequence: number;
}

/** What was in flight on one lane. */
export interface LaneInflight {
  readonly lane: number;
  readonly lowest: number;
  readonly highest: number;
  readonly count: number;
  /** When the latest of them was sent. */
  readonly lastSentAtMs: number;
  /** A connection that ends within this time after a send may have ended because of it. */
  readonly promptMs: number;
}

interface Suspect extends ProbedRecord {
  deaths: number;
}

export class Probe {
  readonly #strikes = new Map<number, { lowest: number; count: number }>();
  /** Per lane the highest sequence that must be taken before the window opens again. */
  readonly #until = new Map<number, number>();
  #suspect: Suspect | undefined;
  /** The suspect is held back on this connection. */
  #isControl = false;
  /** There was nothing to compare the suspect with. */
  #isAlone = false;

  get isProbing(): boolean {
    return this.#until.size > 0;
  }

  /** The record that is not to be sent now. */
  get heldBack(): ProbedRecord | undefined {
    return this.#isControl ? this.#suspect : undefined;
  }

  /** The remote ended a working connection with this in flight. Returns a record that is found guilty. */
  onHungUp(
    inflight: readonly LaneInflight[],
    isAboutRecord: boolean,
    nowMs: number,
  ): ProbedRecord | undefined {
    if (!this.isProbing) {
      this.#strike(inflight, isAboutRecord);
      return undefined;
    }
    if (this.#isControl) {
      this.#clear();
      return undefined;
    }
    const [only] = inflight;
    if (only === undefined || inflight.length > 1 || only.count > 1) return undefined;
    if (nowMs - only.lastSentAtMs > only.promptMs) {
      this.#clear();
      return undefined;
    }
    return this.#blame({ lane: only.lane, sequence: only.lowest });
  }

  /** The remote took a record. Returns a record that is found guilty by it. */
  // Hot path: per acknowledgement.
  onAcknowledged(lane: number, mark: number, sequence: number): ProbedRecord | undefined {
    if (this.#strikes.size > 0) this.#strikes.delete(lane);
    if (!this.isProbing) return undefined;
    const suspect = this.#suspect;
    if (this.#isControl && suspect !== undefined) {
      this.#clear();
      this.#until.clear();
      return suspect;
    }
    if (suspect?.lane === lane && suspect.sequence === sequence) this.#clear();
    if (mark >= (this.#until.get(lane) ?? 0)) this.#until.delete(lane);
    return undefined;
  }

  /** There is nothing to be sent beside the one held back. Returns true when it may be sent now. */
  onNothingElse(): boolean {
    if (!this.#isControl) return false;
    this.#isControl = false;
    this.#isAlone = true;
    return true;
  }

  /** Lets go of a lane that is past what it probes, or cannot go on for another reason. */
  settle(lane: number, mark: number, isBlocked: boolean): void {
    if (isBlocked || mark >= (this.#until.get(lane) ?? Number.POSITIVE_INFINITY)) {
      this.#until.delete(lane);
    }
  }

  #strike(inflight: readonly LaneInflight[], isAboutRecord: boolean): void {
    let isReached = isAboutRecord && inflight.length > 0;
    for (const { lane, lowest } of inflight) {
      const before = this.#strikes.get(lane);
      const count = before?.lowest === lowest ? before.count + 1 : 1;
      this.#strikes.set(lane, { lowest, count });
      if (count >= STRIKES) isReached = true;
    }
    if (!isReached) return;
    this.#strikes.clear();
    for (const { lane, highest } of inflight) this.#until.set(lane, highest);
  }

  #blame(record: ProbedRecord): ProbedRecord | undefined {
    const isSame =
      this.#suspect?.lane === record.lane && this.#suspect.sequence === record.sequence;
    if (this.#suspect === undefined || !isSame) {
      this.#clear();
      this.#suspect = { ...record, deaths: 0 };
    }
    this.#suspect.deaths++;
    if (this.#isAlone && this.#suspect.deaths >= DEATHS_ALONE) {
      const guilty = this.#suspect;
      this.#clear();
      this.#until.clear();
      return guilty;
    }
    this.#isControl = this.#suspect.deaths >= DEATHS;
    return undefined;
  }

  #clear(): void {
    this.#suspect = undefined;
    this.#isControl = false;
    this.#isAlone = false;
  }
}
