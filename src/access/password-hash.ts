/**
 * Passwords as salted scrypt hashes [RFC 7914], written as PHC strings with their parameters, so that these may grow line by line:
 *
 *     $scrypt$ln=13,r=8,p=1$<salt>$<hash>        base64 without padding
 *
 * One computation takes 128 · 2^ln · r bytes of memory, `p` times one after the other: 8 MiB here, 16 MiB at most, because
 * all of the broker fits into 64 MiB.
 */
import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { base64, fromBase64 } from "./phc-base64.ts";

export interface ScryptCost {
  /** Binary logarithm of scrypt's N. */
  readonly ln: number;
  readonly r: number;
  readonly p: number;
}

export interface PasswordHash extends ScryptCost {
  readonly salt: Uint8Array;
  readonly hash: Uint8Array;
}

/** What new hashes cost: 8 MiB, and some 30 ms on a server, 100 ms on a small board. */
export const SCRYPT_COST: ScryptCost = { ln: 13, r: 8, p: 1 };
/** Most memory of one computation, in bytes. */
export const SCRYPT_BYTES_MAX = 16 * 1_048_576;
/** Most computations one after the other. */
export const SCRYPT_ROUNDS_MAX = 16;

const LN_MIN = 10;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** What Node adds to its own estimate. */
const MEMORY_SLACK_BYTES = 1_048_576;

const PHC =
  /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]{1,88})\$([A-Za-z0-9+/]{1,88})$/;

const bytesOf = ({ ln, r }: ScryptCost): number => 128 * 2 ** ln * r;

/** False for what is too cheap to protect anything or too dear to be computed here. */
function isBearable(cost: ScryptCost): boolean {
  const { ln, r, p } = cost;
  return (
    ln >= LN_MIN && r >= 1 && p >= 1 && p <= SCRYPT_ROUNDS_MAX && bytesOf(cost) <= SCRYPT_BYTES_MAX
  );
}

/** Writes the PHC string. */
export function formatPasswordHash({ ln, r, p, salt, hash }: PasswordHash): string {
  return `$scrypt$ln=${ln},r=${r},p=${p}$${base64(salt)}$${base64(hash)}`;
}

/** Reads a PHC string; undefined when it is none, or its cost is out of bounds. */
export function parsePasswordHash(text: string): PasswordHash | undefined {
  const match = PHC.exec(text);
  if (match === null) return undefined;
  const [, ln, r, p, saltText = "", hashText = ""] = match;
  const cost = { ln: Number(ln), r: Number(r), p: Number(p) };
  const salt = fromBase64(saltText);
  const hash = fromBase64(hashText);
  if (salt === undefined || hash === undefined || !isBearable(cost)) return undefined;
  return { ...cost, salt, hash };
}

function derive(
  password: Uint8Array,
  salt: Uint8Array,
  cost: ScryptCost,
  hashBytes: number,
): Promise<Uint8Array> {
  const { ln, r, p } = cost;
  const maxmem = bytesOf(cost) + 128 * r * p + MEMORY_SLACK_BYTES;
  return new Promise((resolve, reject) => {
    scrypt(password, salt, hashBytes, { N: 2 ** ln, r, p, maxmem }, (error, hash) => {
      if (error === null) resolve(hash);
      else reject(error);
    });
  });
}

/** Hashes a password with a salt of its own. */
export async function hashPassword(
  password: Uint8Array,
  cost: ScryptCost = SCRYPT_COST,
): Promise<PasswordHash> {
  const salt = randomBytes(SALT_BYTES);
  return { ...cost, salt, hash: await derive(password, salt, cost, HASH_BYTES) };
}

/** True when this is the password; takes the same time whether it is or not. */
export async function verifyPassword(password: Uint8Array, known: PasswordHash): Promise<boolean> {
  const hash = await derive(password, known.salt, known, known.hash.length);
  return timingSafeEqual(hash, known.hash);
}
