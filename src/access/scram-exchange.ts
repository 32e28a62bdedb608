/**
 * SCRAM-SHA-256, server side [RFC 5802, RFC 7677]:
 *
 *     client-first   n,,n=user,r=<nonce>
 *     server-first   r=<nonce><nonce of ours>,s=<salt>,i=<iterations>
 *     client-final   c=biws,r=<both nonces>,p=<proof>
 *     server-final   v=<signature>
 *
 *     awaitingFirst --client-first--> awaitingFinal --client-final--> over
 *
 * Channel binding is not offered: `p=` is refused, `y` is true. Who is unknown gets an exchange like all others, which no proof passes.
 */
import { timingSafeEqual } from "node:crypto";
import type {
  AuthenticationExchange,
  AuthenticationStep,
} from "../broker/enhanced-authenticator.ts";
import { saslprep } from "./saslprep.ts";
import { hmac, type ScramVerifier, sha256 } from "./scram-verifier.ts";

/** Longest message taken, in bytes. */
const MESSAGE_BYTES_MAX = 4_096;
/** Longest nonce of a client, in characters. */
const NONCE_MAX = 512;

/** gs2-header, user name, nonce, extensions that nobody has to know [RFC 5802 section 7]. */
const CLIENT_FIRST =
  /^((?:n|y),(?:a=([^,]+))?,)(n=([^,]*),r=([\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-z]=[^,]+)*)$/;
const CLIENT_FINAL =
  /^(c=([A-Za-z0-9+/=]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-z]=[^,]+)*),p=([A-Za-z0-9+/=]+)$/;

const REFUSED: AuthenticationStep = { kind: "refused", refusal: "bad-credentials" };

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Who somebody says to be, and what is known to check it. */
export interface ScramIdentity {
  /** True when the verifier is that of a user, and still is. Asked when the proof came. */
  isReal(): boolean;
  readonly verifier: ScramVerifier;
}

/** Where an exchange gets what it needs. */
export interface ScramContext {
  /** User Name of CONNECT; undefined: none. */
  readonly username: string | undefined;
  /** Our part of the nonce: printable ASCII without comma, never the same twice. */
  readonly nonce: string;
  /** By prepared user name; for unknown ones an identity that is not real. */
  identify(user: string): ScramIdentity;
  /** Told about each attempt that fails; undefined: the name did not even arrive. */
  onFailed(user: string | undefined): void;
}

/** One exchange. */
export class ScramExchange implements AuthenticationExchange {
  readonly #context: ScramContext;
  #state: "awaitingFirst" | "awaitingFinal" | "over" = "awaitingFirst";
  #user: string | undefined;
  #identity: ScramIdentity | undefined;
  #gs2Header = "";
  #nonce = "";
  /** client-first-message-bare and server-first-message, with a comma behind each. */
  #transcript = "";

  constructor(context: ScramContext) {
    this.#context = context;
  }

  step(data: Uint8Array | undefined): AuthenticationStep {
    const step = this.#stepOf(data);
    if (step.kind !== "continue") this.#state = "over";
    if (step.kind === "refused") this.#context.onFailed(this.#user);
    return step;
  }

  #stepOf(data: Uint8Array | undefined): AuthenticationStep {
    // The client speaks first; one that wants to be asked is asked with nothing [RFC 4422 section 5].
    if (data === undefined && this.#state === "awaitingFirst") return { kind: "continue", data };
    const message = textOf(data);
    if (message === undefined) return REFUSED;
    if (this.#state === "awaitingFirst") return this.#first(message);
    return this.#state === "awaitingFinal" ? this.#final(message) : REFUSED;
  }

  #first(message: string): AuthenticationStep {
    const match = CLIENT_FIRST.exec(message);
    if (match === null) return REFUSED;
    const [, gs2Header = "", authzid, bare = "", name = "", nonce = ""] = match;
    const user = nameOf(name);
    if (user === undefined || nonce.length > NONCE_MAX) return REFUSED;
    const { username, identify, nonce: ours } = this.#context;
    // Nobody acts for somebody else, and User Name, where there is one, says the same.
    if (authzid !== undefined && nameOf(authzid) !== user) return REFUSED;
    if (username !== undefined && saslprep(username) !== user) return REFUSED;
    this.#user = user;
    this.#identity = identify(user);
    const { salt, iterations } = this.#identity.verifier;
    this.#gs2Header = gs2Header;
    this.#nonce = nonce + ours;
    const first = `r=${this.#nonce},s=${Buffer.from(salt).toString("base64")},i=${iterations}`;
    this.#transcript = `${bare},${first},`;
    this.#state = "awaitingFinal";
    return { kind: "continue", data: Buffer.from(first) };
  }

  #final(message: string): AuthenticationStep {
    const match = CLIENT_FINAL.exec(message);
    const user = this.#user;
    const identity = this.#identity;
    if (match === null || user === undefined || identity === undefined) return REFUSED;
    const [, withoutProof = "", binding = "", nonce = "", proofText = ""] = match;
    const isBound = binding === Buffer.from(this.#gs2Header).toString("base64");
    if (!isBound || nonce !== this.#nonce) return REFUSED;
    const authMessage = this.#transcript + withoutProof;
    const { storedKey, serverKey } = identity.verifier;
    // ClientProof is ClientKey XOR ClientSignature [RFC 5802 section 3].
    const clientKey = Buffer.from(proofText, "base64");
    const signature = hmac(storedKey, authMessage);
    if (clientKey.length !== signature.length) return REFUSED;
    for (let i = 0; i < signature.length; i++) {
      clientKey[i] = (clientKey[i] ?? 0) ^ (signature[i] ?? 0);
    }
    const isProved = timingSafeEqual(sha256(clientKey), storedKey);
    if (!isProved || !identity.isReal()) return REFUSED;
    const data = Buffer.from(`v=${hmac(serverKey, authMessage).toString("base64")}`);
    return { kind: "accepted", principal: user, data };
  }
}

function textOf(data: Uint8Array | undefined): string | undefined {
  if (data === undefined || data.length > MESSAGE_BYTES_MAX) return undefined;
  try {
    return utf8.decode(data);
  } catch {
    return undefined;
  }
}

/** A saslname as the prepared name that it stands for; undefined: it is none. */
function nameOf(saslname: string): string | undefined {
  if (/=(?!2C|3D)/.test(saslname)) return undefined;
  const name = saslprep(saslname.replaceAll("=2C", ",").replaceAll("=3D", "="));
  return name === "" ? undefined : name;
}
