/** What came behind a PUBLISH that finds no room in the store: kept in order, up to a bound; what acknowledges goes on. */
import { copyBytes } from "../lib/copy-bytes.ts";
import { RingBuffer } from "../lib/ring-buffer.ts";
import { type DisconnectPacket, type Packet, PacketType, type PublishPacket } from "./packet.ts";

/** Beyond this many bytes nothing more is decoded. */
const HELD_BYTES_MAX = 65_536;
/** What a packet that is no PUBLISH counts, in bytes. */
const CONTROL_BYTES = 256;

/**
 * True for packets that do not wait behind a held PUBLISH: they settle what we sent or only show life. PUBREL waits: a
 * repeat of the PUBLISH that it releases may be among those held, and would be taken for a new message.
 */
export function passesHeld(packet: Packet): boolean {
  switch (packet.type) {
    case PacketType.puback:
    case PacketType.pubrec:
    case PacketType.pubcomp:
    case PacketType.pingreq:
      return true;
    default:
      return false;
  }
}

export class HeldPackets {
  readonly #packets = new RingBuffer<Packet>();
  #bytes = 0;
  /** The client's last word, if it is among them. */
  disconnect: DisconnectPacket | undefined = undefined;

  get isEmpty(): boolean {
    return this.#packets.size === 0;
  }

  get isFull(): boolean {
    return this.#bytes >= HELD_BYTES_MAX;
  }

  /** Keeps a packet; a PUBLISH is copied, because its decoder uses it again. */
  push(packet: Packet): void {
    this.#bytes += costOf(packet);
    if (packet.type === PacketType.disconnect) this.disconnect = packet;
    this.#packets.push(packet.type === PacketType.publish ? copyPublish(packet) : packet);
  }

  peek(): Packet | undefined {
    return this.#packets.peek();
  }

  shift(): void {
    const packet = this.#packets.shift();
    if (packet !== undefined) this.#bytes -= costOf(packet);
  }

  clear(): void {
    this.#packets.clear();
    this.#bytes = 0;
    this.disconnect = undefined;
  }
}

const costOf = (packet: Packet): number =>
  packet.type === PacketType.publish ? packet.frameEnd - packet.frameStart : CONTROL_BYTES;

function copyPublish(packet: PublishPacket): PublishPacket {
  const { frameStart } = packet;
  return {
    ...packet,
    bytes: copyBytes(packet.bytes, frameStart, packet.frameEnd),
    frameStart: 0,
    frameEnd: packet.frameEnd - frameStart,
    topicStart: packet.topicStart - frameStart,
    topicEnd: packet.topicEnd - frameStart,
    payloadStart: packet.payloadStart - frameStart,
    payloadEnd: packet.payloadEnd - frameStart,
  };
}
