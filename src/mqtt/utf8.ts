/** UTF-8 encoded strings as MQTT wants them [MQTT 5.0 section 1.5.4]. */
import { ProtocolError } from "./protocol-error.ts";
import { ReasonCode } from "./reason-code.ts";

/** Longest UTF-8 encoded string or binary data in bytes: the length field has 16 bits [MQTT 5.0 section 1.5.4]. */
export const STRING_BYTES_MAX = 65_535;

// Fatal: refuses what is not well-formed, surrogates and overlong forms included [MQTT-1.5.4-1].
// The byte order mark is a character like others [MQTT-1.5.4-3].
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** True when `bytes[start, end)` is well-formed UTF-8; U+0000 is a character like others here. */
export function isWellFormedUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  try {
    decoder.decode(bytes.subarray(start, end));
    return true;
  } catch {
    return false;
  }
}

/**
 * The string in `bytes[start, end)`; shares no memory with it.
 * @throws ProtocolError 0x81 for ill-formed UTF-8 [MQTT-1.5.4-1] and for U+0000 [MQTT-1.5.4-2].
 */
export function decodeUtf8(bytes: Uint8Array, start: number, end: number): string {
  let seen = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] ?? 0;
    // A zero byte is U+0000 and nothing else [MQTT-1.5.4-2].
    if (byte === 0) throw new ProtocolError(ReasonCode.malformedPacket, "string contains U+0000");
    seen |= byte;
  }
  if (seen < 0x80 && Buffer.isBuffer(bytes)) return bytes.toString("latin1", start, end);
  try {
    return decoder.decode(bytes.subarray(start, end));
  } catch {
    throw new ProtocolError(ReasonCode.malformedPacket, "string is not well-formed UTF-8");
  }
}
