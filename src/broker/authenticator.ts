/** The port to whoever knows who may come in, and what the core knows about who came. */

/** Who a client is: its user name; undefined: anonymous. What it owns, such as its session, belongs to this. */
export type Principal = string | undefined;

/** Nobody in particular. */
export const ANONYMOUS: Principal = undefined;

/** What a client says about itself, and where it comes in. */
export interface Claim {
  readonly username: string | undefined;
  /** Bytes that stay unchanged. */
  readonly password: Uint8Array | undefined;
  /** Of its network connection, for log entries. */
  readonly address: string;
  /** The listener lets clients in that give no user name. */
  readonly allowsAnonymous: boolean;
}

/** Why somebody is not let in: wrong name or password; none given where one is wanted; too many ask at once. */
export type AuthenticationRefusal = "bad-credentials" | "not-authorized" | "busy";

export type AuthenticationOutcome =
  | { readonly isAccepted: true; readonly principal: Principal }
  | { readonly isAccepted: false; readonly refusal: AuthenticationRefusal };

export interface Authenticator {
  /**
   * Finds out who it is. `done` is called once, before this returns or later; not any more once the function that is returned was
   * called (the client has gone).
   */
  authenticate(claim: Claim, done: (outcome: AuthenticationOutcome) => void): () => void;
}

const nothing = (): void => undefined;

/** Lets everybody in without a name. */
export const openAuthenticator: Authenticator = {
  authenticate(_claim, done) {
    done({ isAccepted: true, principal: ANONYMOUS });
    return nothing;
  },
};
