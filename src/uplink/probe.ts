/**
 * Finds records that make the remote hang up without a word.
 *
 *     calm       any window                       -> probing: three connections end with the same lowest sequence of a
 *                                                    lane in flight and no acknowledgement in between, or one ends with
 *                                                    a reason that is about a record
 *     probing    one record in flight at a time   -> calm: all that was in flight is taken, nothing is suspected
 *
 * While probing, a record becomes suspected when a connection ends soon after it was sent alone. On the next connections
 * suspects are held back until another record was taken, which proves the connection; then they are let go one at a
 * time. A suspect after which a proven connection ends three times is guilty; one that is taken is not suspected any
 * more. Where there is nothing else to prove a connection with, five ends make it guilty. So a link that
 * breaks every few seconds, or takes nothing, makes no dead letters of good records. Knows no clock: time comes in.
 */
const STRIKES = 3;
const PROVEN_ENDS = 3;
const UNPROVEN_ENDS = 5;
/** More of them, and it is not the records. */
const SUSPECTS_MAX = 16;

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
  /** Ends after it was sent on a connection that had taken another record before. */
  provenEnds: number;
  /** Ends after it was sent because there was nothing else to be sent. */
  unprovenEnds: number;
}

export class Probe {
  readonly #strikes = new Map<number, { lowest: number; count: number }>();
  /** Per lane the highest sequence that must be taken before the window opens again. */
  readonly #until = new Map<number, number>();
  #suspects: Suspect[] = [];
  /** The suspect that may be sent now. */
  #released: Suspect | undefined;
  #isProven = false;

  get isProbing(): boolean {
    return this.#until.size > 0 || this.#suspects.length > 0;
  }

  /** The records that are not to be sent now. */
  get heldBack(): readonly ProbedRecord[] {
    return this.#suspects.filter((suspect) => suspect !== this.#released);
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
    const [only] = inflight;
    const isProven = this.#isProven;
    const released = this.#released;
    this.onLinkGone();
    if (only === undefined || inflight.length > 1 || only.count > 1) return undefined;
    const { lane, lowest: sequence } = only;
    const known = this.#find(lane, sequence);
    if (nowMs - only.lastSentAtMs > only.promptMs) {
      this.#acquit(known);
      return undefined;
    }
    if (known === undefined) this.#suspect(lane, sequence);
    else if (known === released && isProven) known.provenEnds++;
    else known.unprovenEnds++;
    return this.#verdict(known);
  }

  /** The link is gone, whoever ended it. */
  onLinkGone(): void {
    this.#isProven = false;
    this.#released = undefined;
  }

  /** The remote took a record. Returns true when another record may be sent now than before. */
  // Hot path: per acknowledgement.
  onAcknowledged(lane: number, mark: number, sequence: number): boolean {
    if (this.#strikes.size > 0) this.#strikes.delete(lane);
    if (!this.isProbing) return false;
    if (mark >= (this.#until.get(lane) ?? 0)) this.#until.delete(lane);
    this.#acquit(this.#find(lane, sequence));
    this.#isProven = true;
    return this.#release();
  }

  /** There is nothing to be sent beside what is held back. Returns true when one of them may be sent now. */
  onNothingElse(): boolean {
    return this.#release();
  }

  /** Lets go of a lane that is past what it probes, or cannot go on for another reason. */
  settle(lane: number, mark: number, isBlocked: boolean): void {
    if (isBlocked || mark >= (this.#until.get(lane) ?? Number.POSITIVE_INFINITY)) {
      this.#until.delete(lane);
    }
    for (const suspect of this.#suspects) {
      if (suspect.lane === lane && (isBlocked || mark >= suspect.sequence)) this.#acquit(suspect);
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

  #find(lane: number, sequence: number): Suspect | undefined {
    return this.#suspects.find((one) => one.lane === lane && one.sequence === sequence);
  }

  #suspect(lane: number, sequence: number): void {
    if (this.#suspects.length >= SUSPECTS_MAX) this.#suspects = [];
    else this.#suspects.push({ lane, sequence, provenEnds: 0, unprovenEnds: 0 });
  }

  #acquit(suspect: Suspect | undefined): void {
    if (suspect === undefined) return;
    this.#suspects = this.#suspects.filter((one) => one !== suspect);
    if (this.#released === suspect) this.#released = undefined;
  }

  #release(): boolean {
    const [first] = this.#suspects;
    if (this.#released !== undefined || first === undefined) return false;
    this.#released = first;
    return true;
  }

  #verdict(suspect: Suspect | undefined): ProbedRecord | undefined {
    if (suspect === undefined) return undefined;
    const { provenEnds, unprovenEnds } = suspect;
    if (provenEnds < PROVEN_ENDS && unprovenEnds < UNPROVEN_ENDS) return undefined;
    this.#acquit(suspect);
    return suspect;
  }
}
