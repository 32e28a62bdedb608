/** Spoiled HTTP requests, and MQTT and the native protocol in WebSocket frames, right or spoiled. */
import type { Subprotocol } from "../../src/native/frame.ts";
import { upgradeRequest } from "../support/websocket-upgrade.ts";
import type { Chance } from "./chance.ts";

const TARGETS = [
  "//",
  "/%",
  "/%ff",
  "/../..",
  "*",
  "http://",
  "http://[",
  "/\u0001",
  "/healthz?x=%00",
];
const METHODS = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PRI", "GET GET", ""];
const HEADERS = [
  "Content-Length: 5",
  "Content-Length: -1",
  "Content-Length: 99999999999",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: chunked, identity",
  "Expect: 100-continue",
  "Connection: Upgrade",
  "Upgrade: h2c",
  "Host:",
  ": none",
  "X: \u0000",
];

/** A request for one of these paths, or for none that there is, as the chunks in which it arrives. */
export function httpInput(chance: Chance, path: string): Buffer[] {
  const target = chance.oneIn(2) ? path : chance.pick(TARGETS);
  const method = chance.oneIn(2) ? "GET" : chance.pick(METHODS);
  const headers = Array.from({ length: chance.below(4) }, () => chance.pick(HEADERS));
  const head = [`${method} ${target} HTTP/1.1`, "Host: a", ...headers, "", ""].join("\r\n");
  const body = chance.oneIn(2) ? chance.bytes(chance.below(40)) : Buffer.alloc(0);
  return pieces(flipped(Buffer.concat([Buffer.from(head, "latin1"), body]), chance), chance);
}

const upgradeOf = (path: string, subprotocol: string): Buffer =>
  Buffer.from(upgradeRequest(path, subprotocol));
const MQTT_UPGRADE = upgradeOf("/mqtt", "mqtt");

const Opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/**
 * MQTT in frames: cut anywhere, fragmented, with control frames between, some with wrong bits, lengths or opcodes, or not masked.
 */
export function websocketInput(chance: Chance, mqtt: readonly Buffer[]): Buffer[] {
  return spoiledFrames(chance, mqtt, MQTT_UPGRADE, Opcode.binary);
}

/** Where messages of the native protocol go, and how they are written. */
export interface NativeAddress {
  readonly path: string;
  readonly subprotocol: Subprotocol;
}

const nativeOpcode = (subprotocol: Subprotocol): number =>
  subprotocol === "rill.v1+json" ? Opcode.text : Opcode.binary;

/** Messages of the native protocol in frames that are spoiled as those of MQTT. */
export function nativeBytesInput(
  chance: Chance,
  messages: readonly Buffer[],
  { path, subprotocol }: NativeAddress,
): Buffer[] {
  const upgrade = upgradeOf(path, subprotocol);
  return spoiledFrames(chance, messages, upgrade, nativeOpcode(subprotocol));
}

/** Messages of the native protocol in frames that are right: some in fragments with pings between them, in pieces cut anywhere. */
export function nativeFramesInput(
  chance: Chance,
  messages: readonly Buffer[],
  { path, subprotocol }: NativeAddress,
): Buffer[] {
  const frames = messages.flatMap((message) => {
    const cuts = chance.oneIn(3) ? [chance.below(message.length + 1)] : [];
    const parts = [0, ...cuts].map((start, i) => message.subarray(start, cuts[i]));
    return parts.flatMap((part, i) => {
      const opcode = i === 0 ? nativeOpcode(subprotocol) : Opcode.continuation;
      const own = rightFrame(chance, opcode, part, i === parts.length - 1);
      return chance.oneIn(8) ? [own, rightFrame(chance, Opcode.ping, chance.bytes(2), true)] : own;
    });
  });
  return [upgradeOf(path, subprotocol), ...pieces(Buffer.concat(frames), chance)];
}

function spoiledFrames(
  chance: Chance,
  messages: readonly Buffer[],
  upgrade: Buffer,
  first: number,
): Buffer[] {
  const frames = messages.map((chunk, index) => {
    const isFragment = chance.oneIn(4);
    const opcode = isFragment && index > 0 ? Opcode.continuation : first;
    return frame(chance, opcode, chunk, !isFragment);
  });
  if (chance.oneIn(3)) {
    const opcode = chance.oneIn(3) ? chance.below(16) : chance.pick([Opcode.ping, Opcode.close]);
    frames.splice(chance.below(frames.length + 1), 0, frame(chance, opcode, chance.bytes(3), true));
  }
  const request = chance.oneIn(8) ? flipped(upgrade, chance) : upgrade;
  const behind = chance.oneIn(3) ? flipped(Buffer.concat(frames), chance) : Buffer.concat(frames);
  return [request, ...pieces(behind, chance)];
}

/** One frame [RFC 6455 section 5.2]; now and then its length, its mask bit or its reserved bits are wrong. */
function frame(chance: Chance, opcode: number, payload: Buffer, isFinal: boolean): Buffer {
  const reserved = chance.oneIn(20) ? 0x40 : 0;
  const masked = chance.oneIn(20) ? 0 : 0x80;
  const first = (isFinal ? 0x80 : 0) | reserved | opcode;
  const length = chance.oneIn(20) ? payload.length + chance.between(1, 200) : payload.length;
  const key = masked === 0 ? Buffer.alloc(0) : chance.bytes(4);
  const head = Buffer.from([first, ...lengthBytes(length, masked, chance)]);
  return Buffer.concat([head, key, maskedWith(key, payload)]);
}

function rightFrame(chance: Chance, opcode: number, payload: Buffer, isFinal: boolean): Buffer {
  const head = Buffer.from([(isFinal ? 0x80 : 0) | opcode, ...rightLength(payload.length, 0x80)]);
  const key = chance.bytes(4);
  return Buffer.concat([head, key, maskedWith(key, payload)]);
}

/** An empty key leaves it as it is. */
function maskedWith(key: Buffer, payload: Buffer): Buffer {
  const body = Buffer.from(payload);
  for (let i = 0; key.length > 0 && i < body.length; i++) {
    body[i] = (body[i] ?? 0) ^ (key[i % 4] ?? 0);
  }
  return body;
}

function lengthBytes(length: number, masked: number, chance: Chance): number[] {
  if (chance.oneIn(40)) return [masked | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
  if (chance.oneIn(40)) return [masked | 127, 0, 0, 0, 0, 0x10, 0, 0, 0];
  return rightLength(length, masked);
}

function rightLength(length: number, masked: number): number[] {
  if (length < 126) return [masked | length];
  if (length < 65_536) return [masked | 126, length >> 8, length & 0xff];
  const long = Buffer.alloc(8);
  long.writeBigUInt64BE(BigInt(length));
  return [masked | 127, ...long];
}

function flipped(bytes: Buffer, chance: Chance): Buffer {
  const changed = Buffer.from(bytes);
  for (let i = chance.below(3); i > 0 && changed.length > 0; i--) {
    const at = chance.below(changed.length);
    changed[at] = chance.oneIn(2) ? chance.below(256) : (changed[at] ?? 0) ^ (1 << chance.below(8));
  }
  return changed;
}

function pieces(bytes: Buffer, chance: Chance): Buffer[] {
  if (chance.oneIn(2)) return [bytes];
  const at = chance.below(bytes.length + 1);
  return [bytes.subarray(0, at), bytes.subarray(at)];
}
