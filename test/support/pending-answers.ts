/** Answers that native clients wait for, each until a commit is on disk, and in the order of what was asked. */
import assert from "node:assert/strict";
import type { Store } from "../../src/broker/store.ts";
import type { Answer, NativeClient } from "./native-client.ts";

interface Pending {
  readonly client: NativeClient;
  readonly id: number;
  readonly commit: number;
  readonly check: (answer: Answer) => void;
}

/** What an answer waits for: the open commit, those that were asked for before, or nothing: a refusal comes at once. */
export type WaitsFor = "commit" | "others" | "nothing";

export class PendingAnswers {
  readonly #store: () => Store;
  #pendings: Pending[] = [];
  #waiting: NativeClient[] = [];

  constructor(store: () => Store) {
    this.#store = store;
  }

  /** Clients that wait for an answer, in the order in which they get it. */
  get waiting(): readonly NativeClient[] {
    return this.#waiting;
  }

  /** Asks. Returns the commit that the answer waits for. */
  ask(
    client: NativeClient,
    frame: Readonly<Record<string, unknown>>,
    check: Pending["check"],
    waitsFor: WaitsFor,
  ): number {
    const id = client.begin(frame);
    const others = this.#pendings.filter((one) => one.client === client);
    const { openCommit, flushedCommit } = this.#store();
    const own = waitsFor === "commit" ? openCommit : 0;
    const commit = waitsFor === "nothing" ? 0 : Math.max(own, ...others.map((one) => one.commit));
    if (commit > flushedCommit && !this.#waiting.includes(client)) this.#waiting.push(client);
    this.#pendings.push({ client, id, commit, check });
    return commit;
  }

  /** Those whose commit is on disk are there, and no others. */
  check(): void {
    const { flushedCommit } = this.#store();
    for (const { client, id, commit, check } of this.#pendings) {
      const answer = client.answerTo(id);
      if (commit > flushedCommit) assert.equal(answer, undefined, "an answer before its flush");
      else {
        assert.ok(answer !== undefined, "no answer");
        check(answer);
      }
    }
    this.#pendings = this.#pendings.filter(({ commit }) => commit > flushedCommit);
    this.#waiting = this.#waiting.filter((client) =>
      this.#pendings.some((one) => one.client === client),
    );
  }

  /** The client is gone. */
  forget(client: NativeClient): void {
    this.#pendings = this.#pendings.filter((one) => one.client !== client);
    this.#waiting = this.#waiting.filter((one) => one !== client);
  }

  forgetAll(): void {
    this.#pendings = [];
    this.#waiting = [];
  }
}
