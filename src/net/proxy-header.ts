/**
 * The header with which a proxy says whom it forwards: PROXY protocol, versions 1 and 2 [haproxy.org, proxy-protocol.txt].
 *
 *     1   "PROXY TCP4 192.0.2.7 198.51.100.1 49152 1883\r\n", 107 bytes at most; TCP6 likewise; "PROXY UNKNOWN …\r\n"
 *
 *     2   signature   version, command   family, protocol   length   addresses, then extensions
 *         12 bytes    1 byte             1 byte             2 bytes  `length` bytes
 *
 * Strict, and pure: looks at the bytes there are. Extensions are passed over: nothing in them is trusted.
 */
import { isIPv4, isIPv6, SocketAddress } from "node:net";

/** Longest header of version 1, with its line end. */
const V1_BYTES_MAX = 107;
const V2_FIXED_BYTES = 16;
/** Longest addresses and extensions of version 2 that are taken; ordinary ones have less than 536 bytes. */
const V2_LENGTH_MAX = 4_096;

/** More than this is never needed to know what it is. */
export const PROXY_HEADER_BYTES_MAX = V2_FIXED_BYTES + V2_LENGTH_MAX;

const V1_START = Buffer.from("PROXY ");
const V2_SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const V1_LINE =
  /^PROXY (?:(TCP4|TCP6) (\S+) (\S+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})|UNKNOWN(?: .*)?)$/;

const PORT_MAX = 65_535;

/** Family and protocol of version 2, with the bytes that their addresses need. */
const V2_UNSPECIFIED = 0x00;
const V2_TCP4 = { code: 0x11, bytes: 12 } as const;
const V2_TCP6 = { code: 0x21, bytes: 36 } as const;
const V2_UNIX = { code: 0x31, bytes: 216 } as const;

/** A header. */
export interface ProxyHeader {
  /** How many bytes it has. */
  readonly bytes: number;
  /** IP address of the client; undefined: the proxy speaks for itself, or cannot say. */
  readonly address: string | undefined;
}

/** What these bytes begin with; `incomplete`: more of them are needed to know. */
export function readProxyHeader(bytes: Buffer): ProxyHeader | "incomplete" | "malformed" {
  const first = bytes[0];
  if (first === undefined) return "incomplete";
  return first === V1_START[0] ? readV1(bytes) : readV2(bytes);
}

/** True when the bytes are, as far as both go, the same. */
function startsAlike(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
}

function readV1(bytes: Buffer): ProxyHeader | "incomplete" | "malformed" {
  if (!startsAlike(bytes, V1_START)) return "malformed";
  const seen = Math.min(bytes.length, V1_BYTES_MAX);
  let end = 0;
  while (end < seen && isPrintable(bytes[end])) end++;
  if (end === seen) return seen === V1_BYTES_MAX ? "malformed" : "incomplete";
  if (bytes[end] !== 0x0d || end + 2 > V1_BYTES_MAX) return "malformed";
  if (end + 1 === bytes.length) return "incomplete";
  if (bytes[end + 1] !== 0x0a) return "malformed";
  const match = V1_LINE.exec(bytes.toString("latin1", 0, end));
  if (match === null) return "malformed";
  const [, family, source = "", destination = "", ...ports] = match;
  const header = { bytes: end + 2 };
  if (family === undefined) return { ...header, address: undefined };
  const isAddress = family === "TCP4" ? isIPv4 : isPlainIPv6;
  if (!isAddress(source) || !isAddress(destination)) return "malformed";
  if (ports.some((port) => Number(port) > PORT_MAX)) return "malformed";
  return { ...header, address: family === "TCP4" ? source : shortIPv6(source) };
}

const isPrintable = (byte: number | undefined): boolean =>
  byte !== undefined && byte >= 0x20 && byte <= 0x7e;

/** Without the name of an interface, which means something on the proxy alone. */
const isPlainIPv6 = (text: string): boolean => isIPv6(text) && !text.includes("%");

const shortIPv6 = (address: string): string =>
  new SocketAddress({ address, family: "ipv6" }).address;

function readV2(bytes: Buffer): ProxyHeader | "incomplete" | "malformed" {
  if (!startsAlike(bytes, V2_SIGNATURE)) return "malformed";
  const versionAndCommand = bytes[12];
  if (versionAndCommand === undefined) return "incomplete";
  const isLocal = versionAndCommand === 0x20;
  if (!isLocal && versionAndCommand !== 0x21) return "malformed";
  if (bytes.length < V2_FIXED_BYTES) return "incomplete";
  const family = bytes.readUInt8(13);
  const length = bytes.readUInt16BE(14);
  if (length > V2_LENGTH_MAX || (!isLocal && length < addressBytes(family))) return "malformed";
  const end = V2_FIXED_BYTES + length;
  if (bytes.length < end) return "incomplete";
  return { bytes: end, address: isLocal ? undefined : v2Address(family, bytes) };
}

/** How long the addresses of a family are; Infinity: it is none that can come over a connection. */
function addressBytes(family: number): number {
  if (family === V2_UNSPECIFIED) return 0;
  const known = [V2_TCP4, V2_TCP6, V2_UNIX].find(({ code }) => code === family);
  return known?.bytes ?? Number.POSITIVE_INFINITY;
}

function v2Address(family: number, bytes: Buffer): string | undefined {
  const at = V2_FIXED_BYTES;
  if (family === V2_TCP4.code) return bytes.subarray(at, at + 4).join(".");
  if (family !== V2_TCP6.code) return undefined;
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(at + 2 * i).toString(16));
  return shortIPv6(groups.join(":"));
}
