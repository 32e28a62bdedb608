/**
 * How long a group waits for company after a commit. A flush releases many acknowledgements at once, and clients that wait for them
 * answer within a fraction of what a commit takes: with the next messages, or with PUBREL. A group that is sealed before they
 * are there makes two halves that take turns, so that each message waits for two commits and each commit carries half.
 *
 * So the group after a commit stays open until as many have come as the commit answered, at most for a share of what commits take.
 * It does not wait where a commit carries hundreds: the loop has as much to do with so many as the disk, and both had better work
 * at the same time. Where nobody answers (sensors that publish by the clock) it is soon not tried, except once in a while.
 */

/** Answered and waiting: with more than so many it is sealed at once. */
const GATHERED_MAX = 256;
/** Of the time that a commit takes: what waiting may cost. */
const WAIT_SHARE = 0.4;
const WAIT_MS_MAX = 2;
/** Of those answered, how many have to come for it to be worth it. */
const WORTH_SHARE = 0.25;
/** Of those answered, how many end the waiting. */
const ENOUGH_SHARE = 0.95;
/** Commits that are left alone after the first vain wait; twice as many after each further one. */
const PAUSE_COMMITS = 4;
const PAUSE_COMMITS_MAX = 256;
/** How fast what a commit takes is learnt. */
const LEARNING = 0.1;

export class GroupGathering {
  readonly #steadyMs: () => number;
  #commitMs = 0;
  #sealedAt = 0;
  /** Answered by the last commit; 0: nothing is waited for. */
  #answered = 0;
  /** In the group when that was flushed. */
  #before = 0;
  #until = 0;
  #pause = 0;
  #pauseCommits = PAUSE_COMMITS;

  /** `steadyMs` never goes back; in milliseconds with fractions. */
  constructor(steadyMs: () => number) {
    this.#steadyMs = steadyMs;
  }

  /** A group of so many is on its way to disk. */
  onSealed(staged: number): void {
    const now = this.#steadyMs();
    this.#sealedAt = now;
    if (this.#answered === 0) return;
    const came = staged - this.#before;
    if (came >= this.#answered * WORTH_SHARE) {
      this.#pauseCommits = PAUSE_COMMITS;
    } else {
      this.#pause = this.#pauseCommits;
      this.#pauseCommits = Math.min(this.#pauseCommits * 2, PAUSE_COMMITS_MAX);
    }
    this.#answered = 0;
  }

  /** A commit of `answered` is on disk, while `staged` wait already. */
  onFlushed(answered: number, staged: number): void {
    const now = this.#steadyMs();
    const tookMs = now - this.#sealedAt;
    this.#commitMs =
      this.#commitMs === 0 ? tookMs : this.#commitMs + (tookMs - this.#commitMs) * LEARNING;
    if (this.#pause > 0) {
      this.#pause--;
      return;
    }
    if (answered + staged > GATHERED_MAX) return;
    this.#answered = answered;
    this.#before = staged;
    this.#until = now + Math.min(this.#commitMs * WAIT_SHARE, WAIT_MS_MAX);
  }

  /** A group of so many should not be sealed yet; to be asked again in the next turn. */
  waits(staged: number): boolean {
    if (this.#answered === 0) return false;
    if (staged - this.#before >= this.#answered * ENOUGH_SHARE) return false;
    return this.#steadyMs() < this.#until;
  }
}
