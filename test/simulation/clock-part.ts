/** The clocks of a simulated world: the wall clock is set forth and back, time passes while the broker is off; the log's time does not leap. */
import assert from "node:assert/strict";
import type { CommitNumber } from "../../src/broker/store.ts";
import type { Stage, Step } from "./stage.ts";

const HOUR_MS = 3_600_000;
const OFF_MAX_MS = 3_000;
/** Less is correction and rounding for the log. */
const SLACK_MS = 1_000;

export class ClockPart {
  jumps = 0;
  readonly steps: readonly Step[];
  readonly #stage: Stage;
  /** Steps of the wall clock that are not on disk: after a crash they may be taken for time spent off. */
  #unknownMs = 0;
  #knownWith: CommitNumber = 0 as CommitNumber;
  #lastAt: number;
  #lastSteadyMs: number;

  constructor(stage: Stage) {
    this.#stage = stage;
    this.#lastAt = stage.now;
    this.#lastSteadyMs = this.#steadyMs;
    this.steps = [[0.7, "clock", () => this.#set()]];
  }

  get #steadyMs(): number {
    const { wallMs, wall } = this.#stage.node;
    return wallMs - wall.aheadMs;
  }

  /** As much time as passed has passed in the log. */
  judge(): void {
    const { now } = this.#stage;
    const passedMs = this.#steadyMs - this.#lastSteadyMs;
    const drift = now - this.#lastAt - passedMs;
    assert.ok(Math.abs(drift) <= 1, `the log's time leapt by ${drift} ms`);
    this.#look();
  }

  /** A commit is on disk, and with it what the log knew about time. */
  onFlushed(): void {
    if (this.#stage.node.store.flushedCommit >= this.#knownWith) this.#unknownMs = 0;
  }

  /** Ends the broker; it starts again some time later, which counts. */
  crash(): void {
    const stage = this.#stage;
    const offMs = stage.chance(0.5) ? 0 : stage.below(OFF_MAX_MS);
    const at = stage.now;
    stage.node.off(offMs);
    const drift = stage.now - at - offMs;
    // A clock that was set back unnoticed may hide the time spent off.
    const most = Math.max(0, this.#unknownMs) + SLACK_MS;
    assert.ok(drift <= most, `the log's time leapt by ${drift} ms over a start`);
    if (this.#unknownMs >= 0) {
      assert.ok(drift >= -SLACK_MS, `the log's time lacks ${drift} ms over a start`);
    }
    this.#knownWith = stage.node.store.openCommit;
    this.#look();
  }

  #look(): void {
    this.#lastAt = this.#stage.now;
    this.#lastSteadyMs = this.#steadyMs;
  }

  #set(): void {
    const { node } = this.#stage;
    const sizeMs = 2 * SLACK_MS + this.#stage.below(HOUR_MS);
    const stepMs = this.#stage.chance(0.5) ? sizeMs : -sizeMs;
    node.wall.aheadMs += stepMs;
    this.#unknownMs += stepMs;
    this.#knownWith = node.store.openCommit;
    this.jumps++;
    // As it is looked at every second or so.
    if (node.time.observe()) node.broker.onAged();
  }
}
