import type { Link } from "./link.ts";

/** One connection of a flood with its write, encoded once. */
interface Source {
  readonly link: Link;
  readonly bytes: Uint8Array;
  readonly onWritten: () => void;
  isWriting: boolean;
}

/**
 * QoS 0 without limit: each turn of the event loop every connection whose last write the operating system has
 * taken writes again. Only TCP's back-pressure slows it down.
 */
export class Flood {
  readonly #sources: Source[];
  readonly #packetsPerWrite: number;
  #sent = 0;
  #isStopped = true;
  #isTurnDue = false;

  /** `bytes` of each connection hold `packetsPerWrite` whole packets. */
  constructor(
    connections: readonly { readonly link: Link; readonly bytes: Uint8Array }[],
    packetsPerWrite: number,
  ) {
    this.#packetsPerWrite = packetsPerWrite;
    this.#sources = connections.map(({ link, bytes }) => {
      const source: Source = {
        link,
        bytes,
        isWriting: false,
        onWritten: () => this.#written(source),
      };
      return source;
    });
  }

  /** Packets of all writes begun. */
  get sent(): number {
    return this.#sent;
  }

  start(): void {
    this.#isStopped = false;
    this.#turnSoon();
  }

  /** Begins no more writes. Those begun still go out, as fast as the broker reads: `sent` counts them. */
  stop(): void {
    this.#isStopped = true;
  }

  // Hot path: once per turn.
  #turn(): void {
    this.#isTurnDue = false;
    if (this.#isStopped) return;
    for (const source of this.#sources) {
      if (source.isWriting) continue;
      source.isWriting = true;
      this.#sent += this.#packetsPerWrite;
      source.link.write(source.bytes, source.onWritten);
    }
  }

  // Hot path: once per write.
  #written(source: Source): void {
    source.isWriting = false;
    if (!this.#isStopped) this.#turnSoon();
  }

  #turnSoon(): void {
    if (this.#isTurnDue) return;
    this.#isTurnDue = true;
    setImmediate(() => this.#turn());
  }
}
