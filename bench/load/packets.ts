/**
 * MQTT 3.1.1 packets as bytes, encoded once before a run. Written here and not taken from `src/`, so that a
 * mistake in the broker's codec cannot hide behind the same mistake in its load generator.
 */

export const PUBLISH = 3;
export const PUBACK = 4;
/** Bytes of a PUBACK in MQTT 3.1.1: fixed header and packet identifier. */
export const PUBACK_BYTES = 4;

/** What a packet's fixed header says when it is not all there yet. */
export const INCOMPLETE = 0;

const REMAINING_LENGTH_MAX = 268_435_455;

/** Encodes a Remaining Length (section 2.2.3). Throws a RangeError beyond what four bytes hold. */
export function encodeRemainingLength(length: number): number[] {
  if (!Number.isInteger(length) || length < 0 || length > REMAINING_LENGTH_MAX) {
    throw new RangeError(`remaining length ${length}`);
  }
  const bytes: number[] = [];
  let rest = length;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low | 0x80 : low);
  } while (rest > 0);
  return bytes;
}

function utf8String(text: string): Buffer {
  const bytes = Buffer.from(text, "utf8");
  return Buffer.concat([uint16(bytes.length), bytes]);
}

function uint16(value: number): Buffer {
  return Buffer.from([value >>> 8, value & 0xff]);
}

function encodePacket(firstByte: number, ...parts: readonly Buffer[]): Buffer {
  const rest = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([firstByte, ...encodeRemainingLength(rest.length)]), rest]);
}

/** A CONNECT with protocol level 4, no will, no credentials and keep alive off (section 3.1). */
export function encodeConnect(clientId: string, cleanStart: boolean): Buffer {
  const flags = cleanStart ? 0x02 : 0x00;
  return encodePacket(
    0x10,
    utf8String("MQTT"),
    Buffer.from([4, flags, 0, 0]),
    utf8String(clientId),
  );
}

/** A SUBSCRIBE with one topic filter (section 3.8). */
export function encodeSubscribe(packetId: number, topicFilter: string, qos: 0 | 1): Buffer {
  return encodePacket(0x82, uint16(packetId), utf8String(topicFilter), Buffer.from([qos]));
}

/** What a publisher repeats: the same topic and a payload of `payloadBytes` bytes. */
export interface PublishShape {
  readonly topic: string;
  readonly payloadBytes: number;
}

/** A PUBLISH with QoS 0 (section 3.3). The payload is a fixed pattern. */
export function encodePublish(shape: PublishShape): Buffer {
  return encodePacket(0x30, utf8String(shape.topic), payload(shape.payloadBytes));
}

/** A PUBLISH with QoS 1 under `packetId`, 1..65535 (section 3.3). */
export function encodePublishQos1(shape: PublishShape, packetId: number): Buffer {
  if (packetId < 1 || packetId > 65_535) throw new RangeError(`packet identifier ${packetId}`);
  const header = [utf8String(shape.topic), uint16(packetId)];
  return encodePacket(0x32, ...header, payload(shape.payloadBytes));
}

/** `count` QoS 0 packets end to end, for one write. */
export function encodePublishRun(shape: PublishShape, count: number): Buffer {
  return Buffer.concat(Array.from({ length: count }, () => encodePublish(shape)));
}

/**
 * A window as bytes: QoS 1 packets with identifiers 1..`window`, and the same again behind them, so that any
 * `window` packets in a row, from whatever identifier on, are one contiguous run.
 */
export function encodePublishRing(shape: PublishShape, window: number): Buffer {
  const ring = Array.from({ length: window }, (_, i) => encodePublishQos1(shape, i + 1));
  return Buffer.concat([...ring, ...ring]);
}

function payload(bytes: number): Buffer {
  return Buffer.from(Array.from({ length: bytes }, (_, i) => 97 + (i % 26)));
}

/**
 * Size in bytes of the packet that starts at `at`, fixed header included, or `INCOMPLETE` when its fixed header
 * does not end before `end`. Throws an Error on a Remaining Length of more than four bytes.
 */
// Hot path: per packet; allocates nothing.
export function packetBytes(bytes: Uint8Array, at: number, end: number): number {
  let length = 0;
  let unit = 1;
  for (let i = at + 1; i < end; i++) {
    const byte = bytes[i] ?? 0;
    length += (byte & 0x7f) * unit;
    if (byte < 0x80) return i + 1 - at + length;
    if (i - at === 4) throw new Error("malformed remaining length");
    unit *= 128;
  }
  if (end - at > 4) throw new Error("malformed remaining length");
  return INCOMPLETE;
}

/**
 * Packet identifier of the PUBLISH that starts at `at` and is whole. Walks the Remaining Length and the topic's
 * length, and reads neither topic nor payload. The caller knows that its QoS is not 0.
 */
// Hot path: per QoS 1 packet; allocates nothing.
export function publishPacketId(bytes: Uint8Array, at: number): number {
  let i = at + 1;
  while ((bytes[i] ?? 0) >= 0x80) i++;
  const topicBytes = uint16At(bytes, i + 1);
  return uint16At(bytes, i + 3 + topicBytes);
}

/** Two bytes at `at`, big endian. */
export function uint16At(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}
