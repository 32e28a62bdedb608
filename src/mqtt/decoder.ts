/**
 * Bytes in, packets out, for one direction of one network connection.
 *
 *     feed(chunk) ─► complete packets: decoded where they lie in the chunk
 *                 └► incomplete rest:  copied to the tail, completed by the next chunks
 *
 * The tail grows with what has arrived, never with what a Remaining Length announces, and doubles, so that
 * a packet in many pieces is copied at most a few times. The decoder knows packets, not conversations: that
 * the first packet is CONNECT and no second one follows [MQTT-3.1.0-1, 3.1.0-2] is checked by the connection, and
 * so is whether topics and topic filters are valid.
 */

import type { QoS } from "../broker/message.ts";
import { ByteReader, UnderflowError } from "../lib/byte-reader.ts";
import { copyBytes } from "../lib/copy-bytes.ts";
import { decodeAck, decodeAuth, decodeDisconnect } from "./decode-acks.ts";
import { decodeConnack, decodeConnect } from "./decode-connect.ts";
import { malformed, packetIdZero, protocolError } from "./decode-fields.ts";
import { checkFirstByte } from "./decode-header.ts";
import { readProperties } from "./decode-properties.ts";
import {
  decodeSuback,
  decodeSubscribe,
  decodeUnsuback,
  decodeUnsubscribe,
} from "./decode-subscribe.ts";
import {
  type AckType,
  type Packet,
  PacketType,
  ProtocolVersion,
  type PublishPacket,
  type Role,
} from "./packet.ts";
import type { Properties } from "./properties.ts";
import { ProtocolError } from "./protocol-error.ts";
import { ReasonCode } from "./reason-code.ts";

const EMPTY = new Uint8Array(0);
/** First size of the tail, in bytes. */
const TAIL_BYTES_MIN = 256;
/** A larger tail is given up when it is empty, so that idle connections are small. */
const TAIL_BYTES_KEPT_MAX = 1_024;

/** What a decoder is made with; every limit is per packet. */
export interface DecoderOptions {
  /** The side that decodes: "server" takes what clients send. */
  readonly role: Role;
  /** Largest packet taken, with its fixed header, in bytes. */
  readonly packetBytesMax: number;
  /** Most user properties in one packet or will; default 64. */
  readonly userPropertiesMax?: number;
  /** Most bytes of encoded user properties in one packet or will; default 16,384. */
  readonly userPropertiesBytesMax?: number;
}

// Decoding is synchronous and calls nobody back: one reader serves all decoders.
const reader = new ByteReader();

/** One direction of one connection, as described at the top of this file. */
export class Decoder {
  readonly role: Role;
  readonly userPropertiesMax: number;
  readonly userPropertiesBytesMax: number;
  /** Set by a CONNECT (before its flags are looked at); a client sets it before it feeds. 3.1.1 until then. */
  protocolVersion: ProtocolVersion = ProtocolVersion.v311;
  /** Largest packet taken, with its fixed header, in bytes. A change holds for the packets whose header comes later. */
  packetBytesMax: number;

  /** What is being decoded: `chunk[position, end)` is still to come. */
  #chunk: Uint8Array = EMPTY;
  #position = 0;
  #end = 0;
  /** The beginning of one incomplete packet: `tail[0, tailBytes)`. */
  #tail: Uint8Array = EMPTY;
  #tailBytes = 0;
  /** Size of that packet; 0: its header is incomplete. */
  #tailPacketBytes = 0;
  /** Of the packet measured last. */
  #headerBytes = 0;
  #isLengthOverlong = false;
  #failure: ProtocolError | undefined;
  /** Made with the first PUBLISH and the same for all that follow: most clients send none for long. */
  #publish: PublishPacket | undefined;

  constructor(options: DecoderOptions) {
    this.role = options.role;
    this.packetBytesMax = options.packetBytesMax;
    this.userPropertiesMax = options.userPropertiesMax ?? 64;
    this.userPropertiesBytesMax = options.userPropertiesBytesMax ?? 16_384;
  }

  /** Bytes that were fed and not yet returned as packets. */
  get bufferedBytes(): number {
    return this.#tailBytes + this.#end - this.#position;
  }

  /**
   * Takes the next bytes. The chunk must not change until `next()` has returned undefined or `feed` is called again:
   * then the decoder has let go of it. Ends the life of the last PUBLISH.
   */
  feed(chunk: Uint8Array): void {
    if (this.#failure !== undefined) return;
    if (this.#position < this.#end) {
      this.#append(chunk);
      return;
    }
    this.#chunk = chunk;
    this.#position = 0;
    this.#end = chunk.length;
  }

  /**
   * The next packet; undefined when more bytes are needed. A PUBLISH is valid until the next call, every other packet
   * is the caller's. The UTF-8 of a PUBLISH's topic is not validated (see PublishPacket).
   * @throws ProtocolError; then nothing more is decoded and every later call throws the same.
   */
  next(): Packet | undefined {
    // Hot path: per packet; allocates nothing for a PUBLISH without properties, one object for an acknowledgement.
    if (this.#failure !== undefined) throw this.#failure;
    try {
      return this.#tailBytes > 0 ? this.#nextFromTail() : this.#nextInChunk();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  #nextInChunk(): Packet | undefined {
    const chunk = this.#chunk;
    const start = this.#position;
    const end = this.#end;
    const packetBytes = this.#measure(chunk, start, end);
    const packetEnd = start + packetBytes;
    if (packetBytes === 0 || packetEnd > end) {
      this.#tailPacketBytes = packetBytes;
      this.#pull(end - start);
      return this.#releaseChunk();
    }
    this.#position = packetEnd;
    return this.#decode(chunk, start, packetEnd);
  }

  #nextFromTail(): Packet | undefined {
    while (this.#tailPacketBytes === 0) {
      if (this.#position === this.#end) return this.#releaseChunk();
      this.#pull(1);
      this.#tailPacketBytes = this.#measure(this.#tail, 0, this.#tailBytes);
    }
    const packetBytes = this.#tailPacketBytes;
    this.#pull(Math.min(packetBytes - this.#tailBytes, this.#end - this.#position));
    if (this.#tailBytes < packetBytes) return this.#releaseChunk();
    this.#tailBytes = 0;
    return this.#decode(this.#tail, 0, packetBytes);
  }

  /**
   * The size of the packet that starts at `start`, or 0 when its header is incomplete. Remembers the
   * header's size. Refuses early what needs no more bytes to be refused.
   */
  #measure(bytes: Uint8Array, start: number, end: number): number {
    if (end - start < 2) return 0;
    checkFirstByte(bytes[start] ?? 0, this.role, this.protocolVersion);
    let length = bytes[start + 1] ?? 0;
    let headerBytes = 2;
    this.#isLengthOverlong = false;
    if (length >= 0x80) {
      length &= 0x7f;
      for (let shift = 7; ; shift += 7) {
        if (shift > 21) throw malformed("Remaining Length has more than four bytes"); // [MQTT 5.0 section 1.5.5]
        if (start + headerBytes >= end) return 0;
        const byte = bytes[start + headerBytes++] ?? 0;
        length |= (byte & 0x7f) << shift;
        if (byte < 0x80) {
          this.#isLengthOverlong = byte === 0;
          break;
        }
      }
    }
    this.#headerBytes = headerBytes;
    const packetBytes = headerBytes + length;
    if (packetBytes > this.packetBytesMax) {
      // [MQTT 5.0 section 3.1.2.11.4, MQTT-3.1.2-24]
      throw new ProtocolError(ReasonCode.packetTooLarge, `packet of ${packetBytes} bytes`);
    }
    return packetBytes;
  }

  /** The complete packet `bytes[start, end)`. */
  #decode(bytes: Uint8Array, start: number, end: number): Packet {
    const first = bytes[start] ?? 0;
    const type = first >>> 4;
    const bodyStart = start + this.#headerBytes;
    if (this.#isLengthOverlong && this.protocolVersion === ProtocolVersion.v5) throw overlong();
    if (type === PacketType.publish) return this.#decodePublish(bytes, start, bodyStart, end);
    if (type >= PacketType.puback && type <= PacketType.pubcomp && end - bodyStart === 2) {
      const packetId = ((bytes[bodyStart] ?? 0) << 8) | (bytes[bodyStart + 1] ?? 0);
      if (packetId === 0) throw packetIdZero(); // [MQTT-2.2.1-3, 2.2.1-4]
      // Without reason code it is 0x00 [MQTT 5.0 section 3.4.2.1].
      return {
        type: type as AckType,
        packetId,
        reasonCode: ReasonCode.success,
        properties: undefined,
      };
    }
    try {
      reader.reset(bytes, bodyStart, end);
      const packet = this.#decodeBody(type as PacketType);
      // [MQTT 5.0 section 2.1.4: Remaining Length counts what belongs to the packet]
      if (reader.remaining > 0) throw malformed("bytes left at the end of the packet");
      // [MQTT-1.5.5-1], for the CONNECT that has just set the version.
      if (this.#isLengthOverlong && this.protocolVersion === ProtocolVersion.v5) throw overlong();
      return packet;
    } finally {
      reader.reset();
    }
  }

  #decodeBody(type: PacketType): Packet {
    switch (type) {
      case PacketType.connect:
        return decodeConnect(reader, this);
      case PacketType.connack:
        return decodeConnack(reader, this);
      case PacketType.puback:
      case PacketType.pubrec:
      case PacketType.pubrel:
      case PacketType.pubcomp:
        // [3.1.1 sections 3.4.1, 3.5.1, 3.6.1, 3.7.1]
        if (this.protocolVersion !== ProtocolVersion.v5)
          throw malformed("acknowledgement is not of two bytes");
        return decodeAck(type, reader, this);
      case PacketType.subscribe:
        return decodeSubscribe(reader, this);
      case PacketType.suback:
        return decodeSuback(reader, this);
      case PacketType.unsubscribe:
        return decodeUnsubscribe(reader, this);
      case PacketType.unsuback:
        return decodeUnsuback(reader, this);
      case PacketType.pingreq:
      case PacketType.pingresp:
        return { type };
      case PacketType.disconnect:
        return decodeDisconnect(reader, this);
      case PacketType.auth:
        return decodeAuth(reader, this);
      case PacketType.publish:
        throw new Error("PUBLISH has a decoder of its own");
    }
  }

  /** [MQTT 5.0 section 3.3] */
  #decodePublish(bytes: Uint8Array, start: number, bodyStart: number, end: number): PublishPacket {
    // Hot path: per message; allocates nothing without properties.
    const first = bytes[start] ?? 0;
    this.#publish ??= emptyPublish();
    const publish = this.#publish;
    const qos = ((first >>> 1) & 3) as QoS;
    const topicStart = bodyStart + 2;
    const topicBytes = ((bytes[bodyStart] ?? 0) << 8) | (bytes[bodyStart + 1] ?? 0);
    const topicEnd = topicStart + topicBytes;
    let position = qos === 0 ? topicEnd : topicEnd + 2;
    // Where even the length lies beyond the end, so does what follows it.
    if (position > end) throw new UnderflowError();
    let packetId = 0;
    if (qos !== 0) {
      packetId = ((bytes[topicEnd] ?? 0) << 8) | (bytes[topicEnd + 1] ?? 0);
      if (packetId === 0) throw packetIdZero(); // [MQTT-2.2.1-3, 2.2.1-4; 3.1.1: MQTT-2.3.1-1]
    }
    let properties: Properties | undefined;
    if (this.protocolVersion === ProtocolVersion.v5) {
      if (position < end && bytes[position] === 0) position++;
      else {
        properties = this.#readPublishProperties(publish, bytes, position, end);
        position = publish.payloadStart;
      }
    }
    if (topicBytes === 0 && properties?.topicAlias === undefined) {
      throw protocolError("PUBLISH without topic"); // [MQTT 5.0 section 3.3.2.1, MQTT-4.7.3-1]
    }
    publish.dup = (first & 0x08) !== 0;
    publish.qos = qos;
    publish.retain = (first & 0x01) !== 0;
    publish.packetId = packetId;
    publish.bytes = bytes;
    publish.frameStart = start;
    publish.frameEnd = end;
    publish.topicStart = topicStart;
    publish.topicEnd = topicEnd;
    publish.payloadStart = position;
    publish.payloadEnd = end;
    publish.properties = properties;
    return publish;
  }

  /** Also sets `payloadStart`. */
  #readPublishProperties(
    publish: PublishPacket,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): Properties | undefined {
    try {
      reader.reset(bytes, start, end);
      const properties = readProperties(reader, PacketType.publish, this);
      publish.payloadStart = reader.position;
      return properties;
    } finally {
      reader.reset();
    }
  }

  /** Moves `count` bytes from the chunk to the end of the tail. */
  #pull(count: number): void {
    if (count === 0) return;
    const tailBytes = this.#tailBytes + count;
    if (tailBytes > this.#tail.length) {
      // Doubling, but never beyond the packet: bounded by what has arrived, not by what is announced.
      const doubled = Math.max(TAIL_BYTES_MIN, this.#tail.length * 2, tailBytes);
      const isMeasured = this.#tailPacketBytes > 0;
      const grown = Buffer.allocUnsafeSlow(
        isMeasured ? Math.min(doubled, this.#tailPacketBytes) : doubled,
      );
      grown.set(this.#tail.subarray(0, this.#tailBytes));
      this.#tail = grown;
    }
    const start = this.#position;
    this.#tail.set(this.#chunk.subarray(start, start + count), this.#tailBytes);
    this.#tailBytes = tailBytes;
    this.#position = start + count;
  }

  /** Lets go of the chunk, which is used up. */
  #releaseChunk(): undefined {
    this.#chunk = EMPTY;
    this.#position = 0;
    this.#end = 0;
    if (this.#publish !== undefined) this.#publish.bytes = EMPTY;
    if (this.#tailBytes === 0 && this.#tail.length > TAIL_BYTES_KEPT_MAX) this.#tail = EMPTY;
    return undefined;
  }

  /** Copies what is left of the chunk: its owner wants it back. Hot path: per chunk. */
  keepRest(): void {
    if (this.#position === this.#end) return;
    this.#chunk = copyBytes(this.#chunk, this.#position, this.#end);
    this.#end -= this.#position;
    this.#position = 0;
    if (this.#publish !== undefined) this.#publish.bytes = EMPTY;
  }

  /**
   * Takes a chunk while an older one is not used up: both go to a buffer of our own. Only such a buffer has room
   * behind its end; a caller's chunk is full, and so never written to.
   */
  #append(chunk: Uint8Array): void {
    const rest = this.#end - this.#position;
    if (this.#chunk.length - this.#end < chunk.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(rest + chunk.length, rest * 2));
      grown.set(this.#chunk.subarray(this.#position, this.#end));
      this.#chunk = grown;
      this.#position = 0;
      this.#end = rest;
    }
    this.#chunk.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** Gives everything up; the error to throw. What is no error of the peer is returned as it is. */
  #fail(error: unknown): unknown {
    const isShort = error instanceof UnderflowError;
    // [MQTT 5.0 section 4.13.1]
    const failure = isShort ? malformed("packet ends within a field") : error;
    if (!(failure instanceof ProtocolError)) return failure;
    this.#tailBytes = 0;
    this.#tail = EMPTY;
    this.#releaseChunk();
    this.#failure = failure;
    return failure;
  }
}

/** [MQTT-1.5.5-1]; 3.x does not ask for the shortest form. */
const overlong = (): ProtocolError => malformed("Remaining Length is longer than needed");

const emptyPublish = (): PublishPacket => ({
  type: PacketType.publish,
  dup: false,
  qos: 0,
  retain: false,
  packetId: 0,
  bytes: EMPTY,
  frameStart: 0,
  frameEnd: 0,
  topicStart: 0,
  topicEnd: 0,
  payloadStart: 0,
  payloadEnd: 0,
  properties: undefined,
});
