import type { Link } from "./link.ts";
import { PacketWalker } from "./packet-walker.ts";
import { PUBACK, PUBACK_BYTES, uint16At } from "./packets.ts";

/**
 * QoS 1 over one connection with a fixed number outstanding. PUBACKs come in the order of the PUBLISH packets
 * [MQTT-4.6.0-2], so the packet identifiers 1..window go round and those of one read are answered by one write.
 */
export class Window {
  readonly #link: Link;
  /** The window's packets twice in a row, see `encodePublishRing`. */
  readonly #ring: Uint8Array;
  readonly #window: number;
  readonly #publishBytes: number;
  readonly #walker = new PacketWalker((bytes, at, size) => this.#acknowledge(bytes, at, size));
  #sent = 0;
  #acknowledged = 0;
  #unexpected = 0;
  #isStopped = true;
  #onIdle: (() => void) | undefined;

  constructor(link: Link, ring: Uint8Array, window: number) {
    this.#link = link;
    this.#ring = ring;
    this.#window = window;
    this.#publishBytes = ring.length / (2 * window);
    link.receive((bytes, count) => this.#received(bytes, count));
  }

  get sent(): number {
    return this.#sent;
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Packets that were not the PUBACK due next. */
  get unexpected(): number {
    return this.#unexpected;
  }

  /** Sends the first window. */
  start(): void {
    this.#isStopped = false;
    this.#fill();
  }

  /** Publishes nothing more; resolves when everything sent is acknowledged. */
  stop(): Promise<void> {
    this.#isStopped = true;
    return new Promise((resolve) => {
      this.#onIdle = resolve;
      this.#settle();
    });
  }

  // Hot path: per read; one write answers all its PUBACKs.
  #received(bytes: Uint8Array, count: number): boolean {
    this.#walker.feed(bytes, count);
    if (this.#isStopped) this.#settle();
    else this.#fill();
    return true;
  }

  // Hot path: per PUBACK.
  #acknowledge(bytes: Uint8Array, at: number, size: number): void {
    const due = (this.#acknowledged % this.#window) + 1;
    const isDue =
      (bytes[at] ?? 0) >>> 4 === PUBACK &&
      size === PUBACK_BYTES &&
      uint16At(bytes, at + 2) === due &&
      this.#acknowledged < this.#sent;
    if (isDue) this.#acknowledged++;
    else this.#unexpected++;
  }

  #fill(): void {
    const count = this.#window - (this.#sent - this.#acknowledged);
    if (count === 0) return;
    const from = (this.#sent % this.#window) * this.#publishBytes;
    this.#sent += count;
    this.#link.write(this.#ring.subarray(from, from + count * this.#publishBytes));
  }

  #settle(): void {
    if (this.#acknowledged >= this.#sent) this.#onIdle?.();
  }
}
