/**
 * The AUTH exchanges of one network connection [MQTT 5.0 section 4.12]: one for CONNECT, and when the client wants to prove again who it
 * is, one after the other while it is connected.
 */
import type {
  AuthenticationExchange,
  AuthenticationStep,
  EnhancedAuthenticator,
  EnhancedClaim,
} from "../broker/enhanced-authenticator.ts";
import { type AuthPacket, PacketType } from "./packet.ts";
import type { Properties } from "./properties.ts";
import { ProtocolError } from "./protocol-error.ts";
import { ReasonCode } from "./reason-code.ts";

/** Packets of the client in one exchange, whatever the method wants. */
const ROUNDS_MAX = 8;

const REFUSED: AuthenticationStep = { kind: "refused", refusal: "not-authorized" };

export class AuthExchanges {
  /** Authentication Method of CONNECT: all that follows has the same [MQTT-4.12.0-5]. */
  readonly method: string;
  readonly #authenticator: EnhancedAuthenticator;
  readonly #claim: EnhancedClaim;
  #current: AuthenticationExchange | undefined;
  #rounds = 0;

  constructor(method: string, authenticator: EnhancedAuthenticator, claim: EnhancedClaim) {
    this.method = method;
    this.#authenticator = authenticator;
    this.#claim = claim;
  }

  /** The first step, with what came along; undefined: there is no such method [MQTT-4.12.0-1]. */
  begin(data: Uint8Array | undefined): AuthenticationStep | undefined {
    this.#current = this.#authenticator.begin(this.method, this.#claim);
    this.#rounds = 0;
    return this.#current === undefined ? undefined : this.#step(this.#current, data);
  }

  /**
   * The next step. `isConnected`: CONNECT was accepted.
   * @throws ProtocolError for AUTH that does not belong here
   */
  onAuth(packet: AuthPacket, isConnected: boolean): AuthenticationStep {
    const { reasonCode, properties } = packet;
    // [MQTT-4.12.0-5, 4.12.1-1]
    if (properties?.authenticationMethod !== this.method) {
      throw protocolError("AUTH with another method than CONNECT");
    }
    const data = properties.authenticationData;
    if (reasonCode === ReasonCode.reAuthenticate) {
      if (!isConnected || this.#current !== undefined) {
        throw protocolError("re-authentication during authentication");
      }
      return this.begin(data) ?? REFUSED;
    }
    // [MQTT-4.12.0-3]
    if (this.#current === undefined) throw protocolError("AUTH without anything to go on with");
    return this.#step(this.#current, data);
  }

  /** The properties that go with a step's answer. */
  propertiesOf(data: Uint8Array | undefined): Properties {
    const properties: Properties = { authenticationMethod: this.method };
    if (data !== undefined) properties.authenticationData = data;
    return properties;
  }

  /** AUTH from us: go on (0x18), or success while connected (0x00) [MQTT-4.12.0-2]. */
  answerOf(reasonCode: number, data: Uint8Array | undefined): AuthPacket {
    return { type: PacketType.auth, reasonCode, properties: this.propertiesOf(data) };
  }

  #step(exchange: AuthenticationExchange, data: Uint8Array | undefined): AuthenticationStep {
    const step = ++this.#rounds > ROUNDS_MAX ? REFUSED : exchange.step(data);
    if (step.kind !== "continue") this.#current = undefined;
    return step;
  }
}

const protocolError = (what: string): ProtocolError =>
  new ProtocolError(ReasonCode.protocolError, what);
