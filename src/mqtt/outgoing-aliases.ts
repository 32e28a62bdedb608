/**
 * Topic aliases that the server gives out on one network connection [MQTT 5.0 section 3.3.2.3.4], by use: as long as aliases
 * are free, every topic gets one; then a topic keeps its alias for as many messages on topics without one as it was
 * used. A client with few topics gets aliases alone, and one with many keeps those it hears of most.
 *
 * `of` only proposes. The alias is known to the client when a PUBLISH that sets it is on its way, which `keep` says:
 * a message that was not written after all leaves everything as it was.
 */
import type { Topic } from "../broker/topic.ts";

/** An alias takes three bytes of properties: shorter topics are sent as they are. */
const TOPIC_BYTES_MIN = 5;
/** Uses that count: what was used a lot and is used no more gives way in the end. */
const USES_MAX = 255;

interface Entry {
  readonly alias: number;
  uses: number;
}

export class OutgoingAliases {
  readonly #max: number;
  /** Topics that the client knows an alias of. */
  readonly #entries = new Map<Topic, Entry>();
  /** By alias - 1: the topics, so that they can give way in turn. */
  readonly #topics: Topic[] = [];
  /** Who is asked next whether it gives way. */
  #hand = 0;
  /** Of the last call of `of`: the client does not know the alias yet. */
  isNew = false;

  /** `max`: the highest alias, 1..65535. */
  constructor(max: number) {
    this.#max = max;
  }

  /**
   * The alias that stands for this topic, or is to be set for it (`isNew`); 0: none.
   * Hot path: per message and subscriber that takes aliases.
   */
  of(topic: Topic): number {
    const known = this.#entries.get(topic);
    if (known !== undefined) {
      if (known.uses < USES_MAX) known.uses++;
      this.isNew = false;
      return known.alias;
    }
    if (topic.bytes.length < TOPIC_BYTES_MIN) return 0;
    this.isNew = true;
    if (this.#topics.length < this.#max) return this.#topics.length + 1;
    const alias = this.#hand + 1;
    const old = this.#topics[this.#hand];
    const entry = old === undefined ? undefined : this.#entries.get(old);
    if (entry === undefined || entry.uses === 0) return alias;
    entry.uses--;
    this.#hand = alias % this.#max;
    return 0;
  }

  /** A PUBLISH that sets the new alias that `of` proposed last for this topic is on its way. */
  keep(topic: Topic, alias: number): void {
    const old = this.#topics[alias - 1];
    if (old !== undefined) this.#entries.delete(old);
    this.#topics[alias - 1] = topic;
    this.#entries.set(topic, { alias, uses: 1 });
    if (old !== undefined) this.#hand = alias % this.#max;
  }
}
