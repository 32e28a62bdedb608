/**
 * What is kept of a password for SCRAM-SHA-256 [RFC 5802 section 3, RFC 7677]: enough to check a proof and to give one, not enough to
 * make the client's:
 *
 *     $scram-sha-256$i=600000$<salt>$<StoredKey>$<ServerKey>        base64 without padding
 */
import { createHash, createHmac, pbkdf2, randomBytes } from "node:crypto";
import { base64, fromBase64 } from "./phc-base64.ts";
import { saslprep } from "./saslprep.ts";

export interface ScramVerifier {
  /** Rounds of PBKDF2 that the client has to compute. */
  readonly iterations: number;
  readonly salt: Uint8Array;
  /** H(ClientKey): checks the client's proof. */
  readonly storedKey: Uint8Array;
  /** Signs what the server says last. */
  readonly serverKey: Uint8Array;
}

/** What new verifiers ask for: a stolen file is as hard to work on as common advice wants it of PBKDF2-HMAC-SHA256. */
export const SCRAM_ITERATIONS = 600_000;
/** The least that RFC 7677 allows. */
export const SCRAM_ITERATIONS_MIN = 4_096;
/** The client computes them: more would keep a small one from ever coming in. */
export const SCRAM_ITERATIONS_MAX = 10_000_000;
/** Bytes of new salts. */
export const SCRAM_SALT_BYTES = 16;

const KEY_BYTES = 32;

const TEXT =
  /^\$scram-sha-256\$i=([1-9]\d{0,7})\$([A-Za-z0-9+/]{1,88})\$([A-Za-z0-9+/]{43})\$([A-Za-z0-9+/]{43})$/;

/** HMAC-SHA-256. */
export const hmac = (key: Uint8Array, data: string | Uint8Array): Buffer =>
  createHmac("sha256", key).update(data).digest();

/** SHA-256. */
export const sha256 = (data: Uint8Array): Buffer => createHash("sha256").update(data).digest();

const isBearable = (iterations: number): boolean =>
  iterations >= SCRAM_ITERATIONS_MIN && iterations <= SCRAM_ITERATIONS_MAX;

/** Writes the verifier's text. */
export function formatScramVerifier(verifier: ScramVerifier): string {
  const { iterations, salt, storedKey, serverKey } = verifier;
  return `$scram-sha-256$i=${iterations}$${base64(salt)}$${base64(storedKey)}$${base64(serverKey)}`;
}

/** Reads the text; undefined when it is none, or its iterations are out of bounds. */
export function parseScramVerifier(text: string): ScramVerifier | undefined {
  const match = TEXT.exec(text);
  if (match === null) return undefined;
  const [, iterationsText, saltText = "", storedText = "", serverText = ""] = match;
  const iterations = Number(iterationsText);
  const salt = fromBase64(saltText);
  const storedKey = fromBase64(storedText);
  const serverKey = fromBase64(serverText);
  if (salt === undefined || storedKey === undefined || serverKey === undefined) return undefined;
  return isBearable(iterations) ? { iterations, salt, storedKey, serverKey } : undefined;
}

/**
 * Makes a verifier with a salt of its own, away from the event loop.
 * @throws RangeError for passwords that SASLprep does not allow, and iterations out of bounds
 */
export async function scramVerifierOf(
  password: string,
  iterations: number = SCRAM_ITERATIONS,
  salt: Uint8Array = randomBytes(SCRAM_SALT_BYTES),
): Promise<ScramVerifier> {
  const prepared = saslprep(password);
  if (prepared === undefined || prepared === "") {
    throw new RangeError("the password has characters that SCRAM does not allow");
  }
  if (!isBearable(iterations)) throw new RangeError(`${iterations} iterations`);
  const saltedPassword = await derive(prepared, salt, iterations);
  const storedKey = sha256(hmac(saltedPassword, "Client Key"));
  return { iterations, salt, storedKey, serverKey: hmac(saltedPassword, "Server Key") };
}

const derive = (password: string, salt: Uint8Array, iterations: number): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    pbkdf2(password, salt, iterations, KEY_BYTES, "sha256", (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
