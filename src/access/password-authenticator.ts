import { randomBytes } from "node:crypto";
import {
  ANONYMOUS,
  type AuthenticationOutcome,
  type AuthenticationRefusal,
  type Authenticator,
  type Claim,
} from "../broker/authenticator.ts";
import { formatPasswordHash, type PasswordHash, SCRYPT_COST } from "./password-hash.ts";
import type { PasswordVerifier } from "./password-verifier.ts";
import type { Users } from "./users-file.ts";

/** Somebody was not let in. */
export interface FailedAuthentication {
  readonly refusal: AuthenticationRefusal;
  readonly address: string;
  /** A name that there is; what else is given as a name may be a password in the wrong place. */
  readonly user: string | undefined;
}

const NO_PASSWORD = new Uint8Array(0);
const nothing = (): void => undefined;

/** Lets users in by their passwords; who gives no name comes in where the listener says so. */
export class PasswordAuthenticator implements Authenticator {
  readonly #verifier: PasswordVerifier;
  readonly #onFailed: (failed: FailedAuthentication) => void;
  #users: Users | undefined;
  /** Unknown users are checked against this, so that they take as long as known ones. */
  #decoy: PasswordHash;

  /** `users` undefined: there is no users file, names and passwords mean nothing. */
  constructor(
    users: Users | undefined,
    verifier: PasswordVerifier,
    onFailed: (failed: FailedAuthentication) => void,
  ) {
    this.#users = users;
    this.#decoy = decoyFor(users);
    this.#verifier = verifier;
    this.#onFailed = onFailed;
  }

  /** From now on these users. */
  replaceUsers(users: Users): void {
    this.#users = users;
    this.#decoy = decoyFor(users);
    this.#verifier.forgetAll();
  }

  authenticate(claim: Claim, done: (outcome: AuthenticationOutcome) => void): () => void {
    const { username: user, allowsAnonymous } = claim;
    if (this.#users === undefined || user === undefined) {
      if (allowsAnonymous) done({ isAccepted: true, principal: ANONYMOUS });
      else done(this.#refuse("not-authorized", claim));
      return nothing;
    }
    const known = this.#users.get(user)?.password;
    const password = claim.password ?? NO_PASSWORD;
    return this.#verifier.verify(password, known ?? this.#decoy, (verdict) => {
      // The file may have changed meanwhile.
      const isRight = verdict === "right" && known !== undefined && this.#isStill(user, known);
      if (isRight) done({ isAccepted: true, principal: user });
      else done(this.#refuse(verdict === "busy" ? "busy" : "bad-credentials", claim));
    });
  }

  #isStill(user: string, known: PasswordHash): boolean {
    const now = this.#users?.get(user)?.password;
    return now !== undefined && formatPasswordHash(now) === formatPasswordHash(known);
  }

  #refuse(refusal: AuthenticationRefusal, claim: Claim): AuthenticationOutcome {
    const { username = "", address } = claim;
    const user = this.#users?.has(username) === true ? username : undefined;
    this.#onFailed({ refusal, address, user });
    return { isAccepted: false, refusal };
  }
}

/** A hash of nothing, at the cost of the first user's. */
function decoyFor(users: Users | undefined): PasswordHash {
  const [first] = users?.values() ?? [];
  const { ln, r, p } = first?.password ?? SCRYPT_COST;
  return { ln, r, p, salt: randomBytes(16), hash: randomBytes(first?.password.hash.length ?? 32) };
}
