import { randomBytes } from "node:crypto";
import type {
  AuthenticationExchange,
  EnhancedAuthenticator,
  EnhancedClaim,
} from "../broker/enhanced-authenticator.ts";
import type { FailedAuthentication } from "./password-authenticator.ts";
import { ScramExchange, type ScramIdentity } from "./scram-exchange.ts";
import { hmac, SCRAM_ITERATIONS, SCRAM_SALT_BYTES, type ScramVerifier } from "./scram-verifier.ts";
import type { Users } from "./users-file.ts";

/** The method's name in CONNECT and AUTH [RFC 7677]. */
export const SCRAM_SHA_256 = "SCRAM-SHA-256";

const NONCE_BYTES = 24;

/** Lets users in that prove to know their password without sending it: SCRAM-SHA-256. */
export class ScramAuthenticator implements EnhancedAuthenticator {
  readonly #onFailed: (failed: FailedAuthentication) => void;
  /** Makes up salts of unknown users: always the same for the same name. */
  #decoyKey: Uint8Array;
  #users: Users | undefined;
  #decoyIterations: number;

  /** `users` undefined: there is no users file and so no method. `secret`: see `useSecret`. */
  constructor(
    users: Users | undefined,
    secret: Uint8Array,
    onFailed: (failed: FailedAuthentication) => void,
  ) {
    this.#users = users;
    this.#decoyIterations = iterationsOf(users);
    this.#decoyKey = decoyKeyOf(secret);
    this.#onFailed = onFailed;
  }

  /**
   * Makes salts up with another secret: nobody else knows it, and it is the same after a restart, so that salts made up before are
   * made up again; at least 32 bytes.
   */
  useSecret(secret: Uint8Array): void {
    this.#decoyKey = decoyKeyOf(secret);
  }

  /** From now on these users. */
  replaceUsers(users: Users): void {
    this.#users = users;
    this.#decoyIterations = iterationsOf(users);
  }

  begin(method: string, claim: EnhancedClaim): AuthenticationExchange | undefined {
    if (method !== SCRAM_SHA_256 || this.#users === undefined) return undefined;
    const { username, address } = claim;
    return new ScramExchange({
      username,
      nonce: randomBytes(NONCE_BYTES).toString("base64"),
      identify: (user) => this.#identify(user),
      onFailed: (name) => {
        const user = name !== undefined && this.#users?.has(name) === true ? name : undefined;
        this.#onFailed({ refusal: "bad-credentials", address, user });
      },
    });
  }

  #identify(user: string): ScramIdentity {
    const verifier = this.#users?.get(user)?.scram;
    if (verifier === undefined) return { isReal: () => false, verifier: this.#decoyFor(user) };
    // The file may change before the proof comes.
    return { isReal: () => this.#isStill(user, verifier), verifier };
  }

  #isStill(user: string, verifier: ScramVerifier): boolean {
    const now = this.#users?.get(user)?.scram;
    return now !== undefined && Buffer.compare(now.storedKey, verifier.storedKey) === 0;
  }

  /** As if there were such a user. */
  #decoyFor(user: string): ScramVerifier {
    const salt = hmac(this.#decoyKey, user).subarray(0, SCRAM_SALT_BYTES);
    const key = randomBytes(32);
    return { iterations: this.#decoyIterations, salt, storedKey: key, serverKey: key };
  }
}

const decoyKeyOf = (secret: Uint8Array): Uint8Array => hmac(secret, "salts of unknown users");

/** What most users have, so that made up ones do not stand out. */
function iterationsOf(users: Users | undefined): number {
  const counts = new Map<number, number>();
  for (const { scram } of users?.values() ?? []) {
    if (scram !== undefined) counts.set(scram.iterations, (counts.get(scram.iterations) ?? 0) + 1);
  }
  let common = SCRAM_ITERATIONS;
  let most = 0;
  for (const [iterations, count] of counts) {
    if (count > most) [common, most] = [iterations, count];
  }
  return common;
}
