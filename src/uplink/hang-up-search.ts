import type { Lanes } from "./lanes.ts";
import { Probe, type ProbedRecord } from "./probe.ts";
import type { Failure } from "./remote.ts";

/** The search for records that make the remote hang up, done on the lanes: see probe.ts for how it goes. */
export class HangUpSearch {
  readonly #lanes: Lanes;
  readonly #probe = new Probe();
  #reason = "";

  constructor(lanes: Lanes) {
    this.#lanes = lanes;
  }

  get isProbing(): boolean {
    return this.#probe.isProbing;
  }

  /** The connection ended. Before the lanes are detached. Returns what is to be called when they are. */
  onEnded(failure: Failure, nowMs: number): () => void {
    let guilty: ProbedRecord | undefined;
    if (failure.class === "transport") {
      this.#reason = failure.reason;
      const inflight = this.#lanes.onHungUp(failure.reason);
      guilty = this.#probe.onHungUp(inflight, failure.isAboutRecord === true, nowMs);
    }
    return () => this.#convict(guilty, nowMs);
  }

  /** The link is gone: says what the lanes may send on the next one. */
  onLinkGone(): void {
    this.#probe.onLinkGone();
    this.#holdBack();
  }

  // Hot path: per acknowledgement.
  onAcknowledged(laneIndex: number, sequence: number): void {
    const mark = this.#lanes.all[laneIndex]?.progress.mark ?? 0;
    if (this.#probe.onAcknowledged(laneIndex, mark, sequence)) this.#holdBack();
  }

  /** Looks which lanes are past what is searched. */
  settle(): void {
    if (!this.#probe.isProbing) return;
    for (const { index, progress, phase } of this.#lanes.all) {
      this.#probe.settle(index, progress.mark, phase.kind === "blocked");
    }
  }

  /** Nothing more could be sent and nothing is in flight. Returns true when there is something to be sent now. */
  onNothingToSend(): boolean {
    if (this.#probe.heldBack.length === 0) return false;
    const isQuiet = this.#lanes.all.every(
      ({ phase, inflightCount }) =>
        inflightCount === 0 && (phase.kind === "streaming" || phase.kind === "blocked"),
    );
    if (!isQuiet || !this.#probe.onNothingElse()) return false;
    this.#holdBack();
    return true;
  }

  #holdBack(): void {
    const { heldBack } = this.#probe;
    for (const { reader, index } of this.#lanes.all) {
      const own = heldBack.filter(({ lane }) => lane === index);
      reader.holdBack(own.map(({ sequence }) => sequence));
    }
  }

  /** A record was found to end connections: to the dead letters with it. */
  #convict(guilty: ProbedRecord | undefined, nowMs: number): void {
    const lane = guilty === undefined ? undefined : this.#lanes.all[guilty.lane];
    if (guilty === undefined || lane === undefined) return;
    const reason = `the remote hangs up on it: ${this.#reason}`;
    this.#lanes.putAside(lane, guilty.sequence, { class: "poison", reason }, nowMs);
    this.#holdBack();
  }
}
