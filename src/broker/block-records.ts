/**
 * The state of deliveries (delivery-blocks.ts) as records of the table `meta`:
 *
 *     head     version:u8, floor (the first sequence that is not settled)
 *     block    state of 256 sequences where it is not the plain one, under a prefix and the block's number:u64 (big endian)
 *
 * A block is: version:u8, number of runs of settled sequences, per run its distance from the end of the run before and its length;
 * then number of deliveries, per delivery the distance of its sequence from the one before, how often it was handed out,
 * until when it is hidden (a time of the log; 0: it is not), and for how long it was then to be; varints throughout. Version 1 has not the last.
 */
import { ByteWriter } from "../lib/byte-writer.ts";
import { copyBytes } from "../lib/copy-bytes.ts";
import { VarintReader, writeVarint } from "../lib/varint.ts";

const HEAD_VERSION = 1;
const VERSION = 2;

/** Sequences in one block. */
export const BLOCK_SEQUENCES = 256;

const scratch = new ByteWriter();

export function blockKey(prefix: Uint8Array, block: number): Uint8Array {
  const key = new Uint8Array(prefix.length + 8);
  key.set(prefix);
  new DataView(key.buffer).setBigUint64(prefix.length, BigInt(block));
  return key;
}

/** The block's number in a key. */
export const blockOfKey = (key: Uint8Array): number =>
  Number(new DataView(key.buffer, key.byteOffset, key.byteLength).getBigUint64(key.length - 8));

export interface DeliveryHead {
  readonly floor: number;
}

export function encodeHead({ floor }: DeliveryHead): Uint8Array {
  scratch.clear();
  scratch.writeByte(HEAD_VERSION);
  writeVarint(scratch, floor);
  return copyBytes(scratch.bytes, 0, scratch.end);
}

export function decodeHead(value: Uint8Array): DeliveryHead | undefined {
  const reader = new VarintReader(value);
  const version = reader.readByte();
  const floor = reader.readVarint();
  return version === HEAD_VERSION && !reader.isBroken ? { floor } : undefined;
}

/** A sequence that was handed out before and is not settled. */
export interface HandedOut {
  readonly sequence: number;
  readonly count: number;
  /** Others do not get it before; 0: they do. */
  readonly hiddenUntil: number;
  /** For how long, at the time at which that was said, in milliseconds. */
  readonly hiddenForMs: number;
}

export interface DeliveryBlock {
  /** Runs of settled sequences, both ends included, in order. */
  readonly settled: readonly { readonly from: number; readonly to: number }[];
  /** In order of sequence. */
  readonly handedOut: readonly HandedOut[];
}

/** `block`: its number; what it holds lies within it. */
export function encodeBlock(block: number, { settled, handedOut }: DeliveryBlock): Uint8Array {
  scratch.clear();
  scratch.writeByte(VERSION);
  let at = block * BLOCK_SEQUENCES;
  writeVarint(scratch, settled.length);
  for (const { from, to } of settled) {
    writeVarint(scratch, from - at);
    writeVarint(scratch, to - from + 1);
    at = to + 1;
  }
  at = block * BLOCK_SEQUENCES;
  writeVarint(scratch, handedOut.length);
  for (const { sequence, count, hiddenUntil, hiddenForMs } of handedOut) {
    writeVarint(scratch, sequence - at);
    writeVarint(scratch, count);
    writeVarint(scratch, Math.ceil(hiddenUntil));
    writeVarint(scratch, Math.ceil(hiddenForMs));
    at = sequence;
  }
  return copyBytes(scratch.bytes, 0, scratch.end);
}

/** Undefined when it is damaged. */
export function decodeBlock(block: number, value: Uint8Array): DeliveryBlock | undefined {
  const reader = new VarintReader(value);
  const version = reader.readByte();
  if (version < 1 || version > VERSION) return undefined;
  const end = (block + 1) * BLOCK_SEQUENCES;
  const settled: { from: number; to: number }[] = [];
  let at = block * BLOCK_SEQUENCES;
  for (let runs = reader.readVarint(); runs > 0 && !reader.isBroken; runs--) {
    const from = at + reader.readVarint();
    const to = from + reader.readVarint() - 1;
    if (to < from || to >= end) return undefined;
    settled.push({ from, to });
    at = to + 1;
  }
  const handedOut: HandedOut[] = [];
  at = block * BLOCK_SEQUENCES;
  for (let rest = reader.readVarint(); rest > 0 && !reader.isBroken; rest--) {
    at += reader.readVarint();
    const count = reader.readVarint();
    const hiddenUntil = reader.readVarint();
    const hiddenForMs = version === 1 ? 0 : reader.readVarint();
    if (at >= end) return undefined;
    handedOut.push({ sequence: at, count, hiddenUntil, hiddenForMs });
  }
  return reader.isBroken ? undefined : { settled, handedOut };
}
