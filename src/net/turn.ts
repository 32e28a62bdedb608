/** Gathers output: what was written during one turn of the event loop goes out at its end, one write per socket. */

export interface TurnLink {
  /** Writes what was gathered. */
  flush(): void;
}

export class Turn {
  readonly #onEnd: () => void;
  #links: TurnLink[] = [];
  #isScheduled = false;
  readonly #run = (): void => this.#end();

  /** `onEnd` is called at the end of a turn before the links are flushed; it may touch more links. */
  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  /** The link has output. Hot path: per socket and turn. */
  add(link: TurnLink): void {
    this.#links.push(link);
    this.schedule();
  }

  /** Something arrived: the turn has an end to be called. */
  schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    // Not nextTick: everything that is readable now is handled first, and so gathered.
    setImmediate(this.#run);
  }

  /** Ends the turn now: what was gathered goes out although sockets are destroyed next. */
  finish(): void {
    this.#end();
  }

  #end(): void {
    this.#isScheduled = false;
    this.#onEnd();
    const links = this.#links;
    this.#links = [];
    for (const link of links) link.flush();
  }
}
