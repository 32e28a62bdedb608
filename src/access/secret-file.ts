import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** How long the secret is. */
export const SECRET_BYTES = 32;

const FILE = "access-secret";

/**
 * The secret of this broker, the same after a restart: drawn at the first start and kept in the data folder, for its owner only.
 * @throws Error of the file system
 */
export function readSecret(folder: string): Uint8Array {
  const path = join(folder, FILE);
  try {
    const known = readFileSync(path);
    if (known.length === SECRET_BYTES) return known;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const secret = randomBytes(SECRET_BYTES);
  writeFileSync(path, secret, { mode: 0o600 });
  return secret;
}
