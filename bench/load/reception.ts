import type { PacketVisitor } from "./packet-walker.ts";
import { PUBACK_BYTES, PUBLISH, publishPacketId } from "./packets.ts";

const DUP = 0x08;
/** PUBACKs of one read: its buffer holds no more PUBLISH packets than this. */
const ACKNOWLEDGEMENTS_MAX = 65_536;

/** Counts what a subscriber receives, by fixed header and size, and gathers the PUBACKs for it. */
export class Reception {
  readonly #qos: 0 | 1;
  readonly #publishBytes: number;
  readonly #acknowledgements = new Uint8Array(ACKNOWLEDGEMENTS_MAX * PUBACK_BYTES);
  #acknowledgementsEnd = 0;
  #received = 0;
  #redelivered = 0;
  #unexpected = 0;

  /** Every PUBLISH is expected with `qos` and a size of `publishBytes`. */
  constructor(qos: 0 | 1, publishBytes: number) {
    this.#qos = qos;
    this.#publishBytes = publishBytes;
  }

  /** PUBLISH packets as expected, repeated ones included. */
  get received(): number {
    return this.#received;
  }

  /** Those of them with the DUP flag. */
  get redelivered(): number {
    return this.#redelivered;
  }

  /** Packets of another kind, QoS or size. */
  get unexpected(): number {
    return this.#unexpected;
  }

  /** For a `PacketWalker`. */
  // Hot path: per packet; allocates nothing.
  readonly onPacket: PacketVisitor = (bytes, at, size) => {
    const first = bytes[at] ?? 0;
    const isExpected =
      first >>> 4 === PUBLISH && ((first >>> 1) & 3) === this.#qos && size === this.#publishBytes;
    if (!isExpected) {
      this.#unexpected++;
      return;
    }
    this.#received++;
    if (this.#qos === 0) return;
    if ((first & DUP) !== 0) this.#redelivered++;
    const packetId = publishPacketId(bytes, at);
    const acknowledgements = this.#acknowledgements;
    let end = this.#acknowledgementsEnd;
    acknowledgements[end++] = 0x40;
    acknowledgements[end++] = 2;
    acknowledgements[end++] = packetId >>> 8;
    acknowledgements[end++] = packetId & 0xff;
    this.#acknowledgementsEnd = end;
  };

  /** The PUBACKs gathered since the last call as bytes of the caller's own, or `undefined` when there are none. */
  takeAcknowledgements(): Uint8Array | undefined {
    if (this.#acknowledgementsEnd === 0) return undefined;
    const taken = this.#acknowledgements.slice(0, this.#acknowledgementsEnd);
    this.#acknowledgementsEnd = 0;
    return taken;
  }
}
