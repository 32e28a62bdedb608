/**
 * What an accepted client sends beside PUBLISH, PINGREQ and DISCONNECT: acknowledgements of what it got, PUBREL, and
 * subscriptions. Whatever is answered goes through the queue of acknowledgements.
 */
import type { AcknowledgementQueue } from "../broker/acknowledgements.ts";
import type { Broker } from "../broker/broker.ts";
import type { Session } from "../broker/session.ts";
import { NO_COMMIT } from "../broker/store.ts";
import type { ConnectionOptions } from "./connection-options.ts";
import type { Inbound } from "./inbound.ts";
import { type AckType, type OutgoingPacket, type Packet, PacketType } from "./packet.ts";
import { ProtocolError } from "./protocol-error.ts";
import { ReasonCode } from "./reason-code.ts";
import { answerSubscribe, answerUnsubscribe } from "./subscribe.ts";

interface Ack {
  readonly type: AckType;
  readonly packetId: number;
  readonly reasonCode: number;
}

/** What one connection's queue of acknowledgements holds. */
export type Answer = Ack | OutgoingPacket;

/** The control packets of one connection. */
export class ControlPackets {
  readonly #broker: Broker;
  readonly #acks: AcknowledgementQueue<Answer>;
  readonly #options: ConnectionOptions;

  constructor(broker: Broker, acks: AcknowledgementQueue<Answer>, options: ConnectionOptions) {
    this.#broker = broker;
    this.#acks = acks;
    this.#options = options;
  }

  /**
   * Hot path: per acknowledgement. `inbound` is undefined before the first PUBLISH.
   * @throws ProtocolError for a packet that no client sends once it is accepted
   */
  handle(packet: Packet, session: Session, inbound: Inbound | undefined): void {
    const { outbound } = session;
    switch (packet.type) {
      case PacketType.puback:
        if (outbound.acknowledge(packet.packetId)) this.#broker.touch(session);
        return;
      case PacketType.pubrec:
        this.#pubrec(packet.packetId, packet.reasonCode, session);
        return;
      case PacketType.pubcomp:
        if (outbound.completed(packet.packetId)) this.#broker.touch(session);
        return;
      case PacketType.pubrel:
        this.#pubrel(packet.packetId, session, inbound);
        return;
      case PacketType.subscribe: {
        const { commit, answer } = answerSubscribe(this.#broker, session, packet, this.#options);
        this.#acks.push(commit, answer);
        return;
      }
      case PacketType.unsubscribe: {
        const { commit, answer } = answerUnsubscribe(this.#broker, session, packet, this.#options);
        this.#acks.push(commit, answer);
        return;
      }
      default:
        throw new ProtocolError(ReasonCode.protocolError, "a packet that no client sends now");
    }
  }

  #pubrec(packetId: number, reasonCode: number, session: Session): void {
    const isRefused = reasonCode >= 0x80;
    if (session.outbound.received(packetId, isRefused)) {
      if (isRefused) this.#broker.touch(session);
      return;
    }
    // What is not known is released all the same, so that the client can forget it [MQTT 5.0 section 4.3.3].
    if (isRefused) return;
    const unknown = ReasonCode.packetIdentifierNotFound;
    this.#acks.push(NO_COMMIT, { type: PacketType.pubrel, packetId, reasonCode: unknown });
  }

  #pubrel(packetId: number, session: Session, inbound: Inbound | undefined): void {
    const commit = session.release(packetId);
    const reasonCode = commit === undefined ? ReasonCode.packetIdentifierNotFound : 0;
    if (commit !== undefined) inbound?.onReleased();
    const answer = { type: PacketType.pubcomp, packetId, reasonCode };
    // Nothing is to be stored: it need not wait behind PUBRECs that do, which would cost its publisher a commit. Not before CONNACK.
    if ((commit ?? NO_COMMIT) === NO_COMMIT && session.subscriber !== undefined)
      this.#acks.overtake(answer);
    else this.#acks.push(commit ?? NO_COMMIT, answer);
  }
}
