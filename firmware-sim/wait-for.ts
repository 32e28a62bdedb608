const CHECK_MS = 20;

/** A condition did not come true in time, or cannot come true any more. */
export class StoryError extends Error {
  override readonly name = "StoryError";
}

/** The time that a whole story has, and the reasons to give up before. */
export class Patience {
  readonly #startedMs = performance.now();
  readonly #endMs: number;
  readonly #limitSeconds: number;
  readonly #giveUp: () => string | undefined;

  /** `giveUp` is asked again and again; a text ends every wait with it. */
  constructor(limitSeconds: number, giveUp: () => string | undefined) {
    this.#limitSeconds = limitSeconds;
    this.#endMs = this.#startedMs + limitSeconds * 1_000;
    this.#giveUp = giveUp;
  }

  /** Seconds since it began. */
  get elapsedSeconds(): number {
    return (performance.now() - this.#startedMs) / 1_000;
  }

  /**
   * Resolves when `condition` holds.
   * @throws StoryError when the time is over or there is a reason to give up; it names `what` was waited for.
   */
  async until(what: string, condition: () => boolean): Promise<void> {
    while (!condition()) {
      this.#check(what);
      await new Promise((resolve) => setTimeout(resolve, CHECK_MS));
    }
    this.#check(what);
  }

  /** Waits this long and gives up like `until`. */
  async pause(what: string, ms: number): Promise<void> {
    const endMs = performance.now() + ms;
    await this.until(what, () => performance.now() >= endMs);
  }

  #check(what: string): void {
    const reason = this.#giveUp();
    if (reason !== undefined) throw new StoryError(`${reason} (while waiting for ${what})`);
    if (performance.now() > this.#endMs) {
      throw new StoryError(`${this.#limitSeconds} s are over and still waiting for ${what}`);
    }
  }
}
