/** Gathers output: what was written during one turn of the event loop goes out at its end, one write per socket. */

export interface TurnLink {
  /** Writes what was gathered. */
  flush(): void;
}

/** A list for more links than this is not kept for the next turn. */
const KEPT_LINKS_MAX = 4_096;

export class Turn {
  readonly #onEnd: () => void;
  /** `links[0, count)` have output. */
  #links: (TurnLink | undefined)[] = [];
  #count = 0;
  /** The list of the turn before; undefined while it is worked off. */
  #spare: (TurnLink | undefined)[] | undefined = [];
  #isScheduled = false;
  readonly #run = (): void => this.#end();

  /** `onEnd` is called at the end of a turn before the links are flushed; it may touch more links. */
  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  /** The link has output. Hot path: per socket and turn. */
  add(link: TurnLink): void {
    this.#links[this.#count++] = link;
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
    const count = this.#count;
    this.#links = this.#spare ?? [];
    this.#spare = undefined;
    this.#count = 0;
    for (let i = 0; i < count; i++) {
      const link = links[i];
      links[i] = undefined;
      link?.flush();
    }
    this.#spare = links.length > KEPT_LINKS_MAX ? [] : links;
  }
}
