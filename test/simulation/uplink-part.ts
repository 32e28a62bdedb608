/** The uplink of a simulated world, and the remote that it forwards one stream to: which goes away, and loses acknowledgements. */
import assert from "node:assert/strict";
import type { LogId } from "../../src/broker/store.ts";
import { Uplink } from "../../src/uplink/uplink.ts";
import { ScriptedRemote } from "../support/scripted-remote.ts";
import { VirtualTimer } from "../support/virtual-timer.ts";
import type { Stage, Step } from "./stage.ts";

export class UplinkPart {
  readonly timer = new VirtualTimer();
  readonly steps: readonly Step[];
  readonly #stage: Stage;
  readonly #stream: string;
  readonly #remote = new ScriptedRemote(this.timer);
  #uplink: Uplink;

  constructor(stage: Stage, stream: string) {
    this.#stage = stage;
    this.#stream = stream;
    this.#remote.fate = () => this.#fate();
    this.#uplink = this.#open();
    this.steps = [[1, "remote", () => this.#break()]];
  }

  /** It has forwarded everything. */
  get isAtRest(): boolean {
    return this.#uplink.status().lanes[0]?.lagMessages === 0;
  }

  start(): void {
    this.#uplink.start();
  }

  onFlushed(): void {
    this.#uplink.onFlushed();
  }

  doneBefore(log: LogId) {
    return this.#uplink.doneBefore(log);
  }

  /** The broker's process is about to end. */
  crashing(): void {
    this.#remote.cut();
    this.#uplink.stop(0).catch(() => undefined);
  }

  /** It runs again. */
  restarted(): void {
    this.#uplink = this.#open();
    this.#uplink.start();
  }

  drain(): void {
    this.#remote.dial = undefined;
  }

  /** Returns how many records the remote has. */
  check(): number {
    const { store } = this.#stage.node;
    const ids = this.#remote.stored.filter((id) => !id.startsWith("barrier"));
    assert.equal(new Set(ids).size, ids.length, "the remote stored a record twice");
    const { nextSequence } = store.stats(store.openLog(this.#stream));
    assert.equal(ids.length, nextSequence - 1, "the remote misses records");
    return ids.length;
  }

  #open(): Uplink {
    const { store, time } = this.#stage.node;
    return new Uplink({
      name: "centre",
      edgeId: "edge",
      lanes: [{ stream: this.#stream, class: "normal", log: store.openLog(this.#stream) }],
      store,
      driver: this.#remote,
      clock: time,
      random: this.#stage.random,
      timer: this.timer,
      log: () => undefined,
      onLoss: (range) => assert.fail(`the uplink lost ${JSON.stringify(range)}`),
    });
  }

  #break(): void {
    this.#remote.cut();
    const isAway = this.#stage.chance(0.5);
    this.#remote.dial = isAway ? { class: "transport", reason: "away" } : undefined;
  }

  #fate() {
    const stage = this.#stage;
    if (!stage.hasFaults || stage.chance(0.9)) return { ackAfterMs: stage.below(20) };
    return stage.chance(0.5) ? {} : { isStored: false };
  }
}
