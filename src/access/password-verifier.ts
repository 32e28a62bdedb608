/**
 * Checks passwords away from the event loop: few at a time, because each takes memory and a processor; behind them a bounded queue, first
 * come first served. What was found right is remembered for a while by a keyed hash, so that a thousand clients that come back at once cost
 * a thousand hashes and not a thousand scrypts. What was wrong is never remembered.
 */
import { createHmac, randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import { formatPasswordHash, type PasswordHash, verifyPassword } from "./password-hash.ts";

/** Passwords remembered at most. */
const REMEMBERED_MAX = 4_096;

export type Verdict = "right" | "wrong" | "busy";

export interface VerifierLimits {
  /** Computations at a time. */
  readonly runningMax: number;
  readonly waitingMax: number;
  /** How long a right password is remembered; 0: not at all. */
  readonly rememberMs: number;
}

interface Job {
  readonly password: Uint8Array;
  readonly known: PasswordHash;
  readonly digest: string;
  readonly done: (verdict: Verdict) => void;
  isCancelled: boolean;
}

const nothing = (): void => undefined;

export class PasswordVerifier {
  readonly #limits: VerifierLimits;
  readonly #now: () => number;
  readonly #key = randomBytes(32);
  /** First come first. */
  readonly #waiting = new Set<Job>();
  /** Until when, by digest; oldest first. */
  readonly #remembered = new Map<string, number>();
  #running = 0;

  /** `now` gives milliseconds that only grow. */
  constructor(limits: VerifierLimits, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Jobs that wait. */
  get waitingSize(): number {
    return this.#waiting.size;
  }

  /**
   * Tells whether this is the password behind the hash; `done` is called once, before this returns or later, and not any more after the
   * function that is returned was called.
   */
  verify(password: Uint8Array, known: PasswordHash, done: (verdict: Verdict) => void): () => void {
    const digest = this.#limits.rememberMs > 0 ? this.#digestOf(password, known) : "";
    if (this.#remembers(digest)) {
      done("right");
      return nothing;
    }
    if (this.#running >= this.#limits.runningMax && this.#waiting.size >= this.#limits.waitingMax) {
      done("busy");
      return nothing;
    }
    const job: Job = { password, known, digest, done, isCancelled: false };
    this.#waiting.add(job);
    this.#startNext();
    return () => {
      job.isCancelled = true;
      this.#waiting.delete(job);
    };
  }

  /** Forgets what was found right. */
  forgetAll(): void {
    this.#remembered.clear();
  }

  #startNext(): void {
    while (this.#running < this.#limits.runningMax) {
      const [job] = this.#waiting;
      if (job === undefined) return;
      this.#waiting.delete(job);
      // Others may have come with the same name and password before.
      if (this.#remembers(job.digest)) job.done("right");
      else void this.#run(job);
    }
  }

  async #run(job: Job): Promise<void> {
    this.#running++;
    let verdict: Verdict;
    try {
      verdict = (await verifyPassword(job.password, job.known)) ? "right" : "wrong";
    } catch {
      // No memory for it: who asks may ask again.
      verdict = "busy";
    }
    this.#running--;
    if (verdict === "right") this.#remember(job.digest);
    if (!job.isCancelled) job.done(verdict);
    this.#startNext();
  }

  #digestOf(password: Uint8Array, known: PasswordHash): string {
    const hmac = createHmac("sha256", this.#key);
    return hmac
      .update(`${formatPasswordHash(known)}\n`)
      .update(password)
      .digest("base64");
  }

  #remembers(digest: string): boolean {
    const until = this.#remembered.get(digest);
    if (until === undefined) return false;
    if (until > this.#now()) return true;
    this.#remembered.delete(digest);
    return false;
  }

  #remember(digest: string): void {
    if (this.#limits.rememberMs === 0) return;
    const [oldest] = this.#remembered.keys();
    if (this.#remembered.size >= REMEMBERED_MAX && oldest !== undefined) {
      this.#remembered.delete(oldest);
    }
    this.#remembered.delete(digest);
    this.#remembered.set(digest, this.#now() + this.#limits.rememberMs);
  }
}
