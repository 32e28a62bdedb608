/** The port to whoever knows who may come in, and what the core knows about who came. */

/** Who a client is: its user name; undefined: anonymous. What it owns, such as its session, belongs to this. */
export type Principal = string | undefined;

/** Nobody in particular. */
export const ANONYMOUS: Principal = undefined;

/** What a client says about itself. */
export interface Credentials {
  readonly clientId: string;
  readonly username: string | undefined;
  /** Bytes that stay unchanged. */
  readonly password: Uint8Array | undefined;
}

/** The other end of a network connection, and what its listener says about those who come through it. */
export interface Peer {
  /** IP address for log entries; "" when there is none. */
  readonly address: string;
  /** Clients without a user name may come in here. */
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
  authenticate(
    credentials: Credentials,
    peer: Peer,
    done: (outcome: AuthenticationOutcome) => void,
  ): () => void;
}

const nothing = (): void => undefined;

/** Lets everybody in without a name. */
export const openAuthenticator: Authenticator = {
  authenticate(_credentials, _peer, done) {
    done({ isAccepted: true, principal: ANONYMOUS });
    return nothing;
  },
};
