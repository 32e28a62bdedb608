/**
 * Finding out who a client is: by the password in its CONNECT, or by AUTH packets that go back and forth, then also again while it is
 * connected [MQTT 5.0 section 4.12]. One for each connection from its CONNECT on.
 */
import type { Principal } from "../broker/authenticator.ts";
import type { AuthenticationStep } from "../broker/enhanced-authenticator.ts";
import { AuthExchanges } from "./auth-exchanges.ts";
import type { ConnectionOptions } from "./connection-options.ts";
import type { AuthPacket, ConnectPacket } from "./packet.ts";
import type { Properties } from "./properties.ts";
import { ProtocolError } from "./protocol-error.ts";
import { ReasonCode } from "./reason-code.ts";
import { AUTHENTICATION_REASON_CODES } from "./refusals.ts";

/** Who is told what comes of it: the connection. */
export interface AuthenticationListener {
  /** It is this one; `properties` go into CONNACK. */
  onAccepted(packet: ConnectPacket, principal: Principal, properties?: Properties): void;
  onRefused(reasonCode: number): void;
  /** AUTH for the client. */
  onAnswer(packet: AuthPacket): void;
  /** What it proved while connected is not that it is whom its session belongs to. */
  onNotAgain(): void;
  /** The verdict came after `checkPassword` had returned, and has been told. */
  onLate(): void;
}

export class Authentication {
  readonly #options: ConnectionOptions;
  readonly #address: string;
  readonly #listener: AuthenticationListener;
  /** Undefined: CONNECT named no authentication method. */
  #exchanges: AuthExchanges | undefined;
  /** CONNECT, until it is accepted or refused. */
  #asked: ConnectPacket | undefined;
  #cancel: (() => void) | undefined;

  constructor(options: ConnectionOptions, address: string, listener: AuthenticationListener) {
    this.#options = options;
    this.#address = address;
    this.#listener = listener;
  }

  checkPassword(packet: ConnectPacket): void {
    const { authenticator, allowsAnonymous } = this.#options;
    const { username, password } = packet;
    const claim = { username, password, address: this.#address, allowsAnonymous };
    this.#asked = packet;
    let isAtOnce = true;
    const cancel = authenticator.authenticate(claim, (outcome) => {
      if (this.#asked === undefined) return;
      this.#asked = undefined;
      this.#cancel = undefined;
      if (outcome.isAccepted) this.#listener.onAccepted(packet, outcome.principal);
      else this.#listener.onRefused(AUTHENTICATION_REASON_CODES[outcome.refusal]);
      if (!isAtOnce) this.#listener.onLate();
    });
    isAtOnce = false;
    if (this.#asked !== undefined) this.#cancel = cancel;
  }

  /** Begins with the data of CONNECT; a password that came along is not looked at. */
  beginExchange(packet: ConnectPacket, method: string): void {
    const claim = { username: packet.username, address: this.#address };
    const exchanges = new AuthExchanges(method, this.#options.enhancedAuthenticator, claim);
    this.#exchanges = exchanges;
    this.#asked = packet;
    const step = exchanges.begin(packet.properties.authenticationData);
    // [MQTT-4.12.0-1]
    if (step === undefined) this.#listener.onRefused(ReasonCode.badAuthenticationMethod);
    else this.#answerStep(exchanges, step, undefined);
  }

  /**
   * AUTH came. `owner`: whom the session belongs to, when CONNECT was accepted.
   * @throws ProtocolError for AUTH that does not belong here
   */
  onAuth(packet: AuthPacket, owner: Principal): void {
    const exchanges = this.#exchanges;
    // [MQTT-4.12.0-6, 4.12.0-7]
    if (exchanges === undefined) {
      throw new ProtocolError(ReasonCode.protocolError, "AUTH without method in CONNECT");
    }
    const isConnected = this.#asked === undefined;
    this.#answerStep(exchanges, exchanges.onAuth(packet, isConnected), owner);
  }

  #answerStep(exchanges: AuthExchanges, step: AuthenticationStep, owner: Principal): void {
    const asked = this.#asked;
    if (step.kind === "continue") {
      this.#listener.onAnswer(exchanges.answerOf(ReasonCode.continueAuthentication, step.data));
    } else if (asked !== undefined) {
      this.#asked = undefined;
      if (step.kind === "refused") {
        this.#listener.onRefused(AUTHENTICATION_REASON_CODES[step.refusal]);
      } else {
        this.#listener.onAccepted(asked, step.principal, exchanges.propertiesOf(step.data));
      }
    } else if (step.kind === "accepted" && step.principal === owner) {
      this.#listener.onAnswer(exchanges.answerOf(ReasonCode.success, step.data));
    } else {
      // [MQTT-4.12.1-2]
      this.#listener.onNotAgain();
    }
  }

  /** The connection ends: nobody waits for a verdict. */
  cancel(): void {
    this.#asked = undefined;
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
