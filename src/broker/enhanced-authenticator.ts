/** The port to methods that take more than a password to find out who somebody is [MQTT 5.0 section 4.12]. */
import type { AuthenticationRefusal, Principal } from "./authenticator.ts";

/** What a client that names a method says about itself. */
export interface EnhancedClaim {
  /** User Name of CONNECT; undefined: it gave none. */
  readonly username: string | undefined;
  /** Of its network connection, for log entries. */
  readonly address: string;
}

/** What one step of an exchange came to. Data of undefined is not sent. */
export type AuthenticationStep =
  /** The client has to say more. */
  | { readonly kind: "continue"; readonly data: Uint8Array | undefined }
  /** It is this principal; `data` is the method's last word. */
  | {
      readonly kind: "accepted";
      readonly principal: Principal;
      readonly data: Uint8Array | undefined;
    }
  | { readonly kind: "refused"; readonly refusal: AuthenticationRefusal };

/** One attempt of one client; of no use any more once a step was not `continue`. */
export interface AuthenticationExchange {
  /** Takes what the client sent; undefined: nothing. Computes no longer than a packet may take. */
  step(data: Uint8Array | undefined): AuthenticationStep;
}

export interface EnhancedAuthenticator {
  /** Begins an exchange; undefined: there is no such method. */
  begin(method: string, claim: EnhancedClaim): AuthenticationExchange | undefined;
}

/** Knows no method at all. */
export const noEnhancedAuthenticator: EnhancedAuthenticator = { begin: () => undefined };
