/**
 * One network connection that speaks MQTT, server side; sans-IO.
 *
 *     awaitingConnect --CONNECT--> authenticating --accepted--> connected --DISCONNECT, error, end--> closed
 *                  `--CONNECT with method--> exchanging --accepted-->'
 *
 * While it is found out who the client is by its password (**authenticating**) nothing is decoded and the network is not read; what was
 * on its way is kept, up to a bound. While it is found out by packets that go back and forth (**exchanging**) only AUTH and DISCONNECT
 * are taken [MQTT-3.1.2-30]. In both the connect deadline still holds.
 *
 * Inside `connected` a publisher may be **held**: a PUBLISH finds no room in the store. It waits, and behind it in order what
 * came later, but for acknowledgements and pings; beyond a bound nothing more is decoded
 * or read until there is, its keep alive is suspended, and after `holdMaxMs` the connection is closed. Everything that
 * acknowledges goes through one queue in the order in which it was earned; CONNACK is the first in it, and the session is
 * attached when it leaves. A client that publishes faster than it may (`publish-rate.ts`) is not read for a while, and its keep
 * alive is suspended. The file is long because a state machine is read in one piece.
 */
import { AcknowledgementQueue } from "../broker/acknowledgements.ts";
import type { Principal } from "../broker/authenticator.ts";
import type { Broker } from "../broker/broker.ts";
import type { Due } from "../broker/due.ts";
import type { Message, QoS } from "../broker/message.ts";
import { PublishRate } from "../broker/publish-rate.ts";
import type { Session } from "../broker/session.ts";
import { type CommitNumber, NO_COMMIT } from "../broker/store.ts";
import type { EndReason, Subscriber } from "../broker/subscriber.ts";
import { after, type Instant } from "../lib/clock.ts";
import { copyBytes } from "../lib/copy-bytes.ts";
import type { Deadline } from "../lib/deadline-heap.ts";
import { expiryMsOf, grantConnect, refuseConnect, takesConnack } from "./accept-connect.ts";
import { Authentication, type AuthenticationListener } from "./authentication.ts";
import type { ConnectionOptions } from "./connection-options.ts";
import { type ConnectionView, PROTOCOL_NAMES } from "./connection-view.ts";
import { type Answer, ControlPackets } from "./control-packets.ts";
import { Decoder } from "./decoder.ts";
import { encodePacket, writeAck } from "./encoder.ts";
import { END_REASON_CODES, farewellOf } from "./end-reasons.ts";
import { HeldPackets, passesHeld } from "./held-packets.ts";
import { Inbound } from "./inbound.ts";
import type { Link } from "./link.ts";
import { Outgoing } from "./outgoing.ts";
import {
  type AuthPacket,
  type ConnectPacket,
  type DisconnectPacket,
  type OutgoingPacket,
  type Packet,
  PacketType,
  ProtocolVersion,
  type PublishPacket,
} from "./packet.ts";
import type { Properties } from "./properties.ts";
import { ProtocolError } from "./protocol-error.ts";
import { ReasonCode } from "./reason-code.ts";
import { withReasonString } from "./reason-strings.ts";
import { countRefusal, SESSION_REASON_CODES } from "./refusals.ts";

/** Keep alive is over after one and a half times the interval [MQTT-3.1.2-22]. */
const KEEP_ALIVE_GRACE = 1.5;

/** Most bytes that are kept while it is found out who the client is: what the network had read already. */
const EARLY_BYTES_MAX = 262_144;

/** Acknowledgements of one connection that may wait for their commits; beyond it the client is not read. */
const WAITING_ACKS_MAX = 8_192;

/** What all connections share that have none waiting; never written to. */
const NO_CHUNKS: Uint8Array[] = [];

export class MqttConnection implements Subscriber, Due, AuthenticationListener {
  readonly #broker: Broker;
  readonly #link: Link;
  readonly #options: ConnectionOptions;
  readonly #decoder: Decoder;
  readonly #acks: AcknowledgementQueue<Answer>;
  /** From the first PUBLISH on. What only some connections need is made when they do: most say nothing most of the time. */
  #inbound: Inbound | undefined;
  /** From the first control packet on. */
  #control: ControlPackets | undefined;
  /** Chunks that came while nothing more was decoded: the network is not read, but some were on their way. */
  #undecoded: Uint8Array[] = NO_CHUNKS;
  #state: "awaitingConnect" | "authenticating" | "exchanging" | "connected" | "closed" =
    "awaitingConnect";
  /** From CONNECT on; once connected only where the client may prove again who it is. */
  #authentication: Authentication | undefined;
  #wantsProblemInformation = true;
  /** Largest packet the client takes, in bytes [MQTT-3.1.2-24]. */
  #packetBytesMax = Number.POSITIVE_INFINITY;
  #version: ProtocolVersion = ProtocolVersion.v311;
  #session: Session | undefined;
  /** Of what CONNECT was granted: see accept-connect.ts. */
  #receiveMaximum = 0;
  #keepAliveMs = 0;
  #topicAliasMax = 0;
  #isExpiryAsked = true;
  /** From the first message to the client on. */
  #outgoing: Outgoing | undefined;
  #deadline: Deadline<Due> | undefined;
  #lastReceivedAt: Instant;
  #connectedAt: Instant;
  /** CONNACK has left; before it the broker says nothing [MQTT-3.2.0-1]. */
  #isAnnounced = false;
  /** The broker ends, not the client: nothing is done about the session. */
  #isAbandoned = false;
  /** A PUBLISH that waits for room and what came behind it, and since when. */
  #held: HeldPackets | undefined;
  #heldSince: Instant | undefined;
  /** Nothing is decoded until the acknowledgements that wait have left. */
  #isFullOfAcks = false;
  readonly #rate: PublishRate | undefined;
  /** It published too fast: nothing is decoded until then. */
  #throttledUntil: Instant | undefined;
  /** Made when a publisher is held for the first time. */
  #resume: (() => void) | undefined;

  constructor(broker: Broker, link: Link, options: ConnectionOptions) {
    this.#broker = broker;
    this.#link = link;
    this.#options = options;
    this.#decoder = new Decoder({
      role: "server",
      packetBytesMax: options.connectPacketBytesMax,
      userPropertiesMax: options.userPropertiesMax,
      userPropertiesBytesMax: options.userPropertyBytesMax,
    });
    this.#acks = new AcknowledgementQueue(broker.gate, (ack) => this.#sendAck(ack));
    this.#lastReceivedAt = broker.clock.now();
    this.#connectedAt = this.#lastReceivedAt;
    this.#rate = PublishRate.of(options, this.#lastReceivedAt);
    this.#schedule(after(this.#lastReceivedAt, options.connectTimeoutMs));
  }

  get receiveMaximum(): number {
    return this.#receiveMaximum;
  }

  get hasRoom(): boolean {
    return this.#link.hasRoom;
  }

  /** The session, once CONNECT is accepted. */
  get session(): Session | undefined {
    return this.#session;
  }

  /** What an operator wants to know of an accepted client. */
  view(): ConnectionView {
    const { address, certificateSubject } = this.#link.peer;
    return {
      address,
      ...(certificateSubject === undefined ? {} : { certificateSubject }),
      protocol: PROTOCOL_NAMES[this.#version],
      keepAliveSeconds: this.#keepAliveMs / 1_000,
      receiveMaximum: this.receiveMaximum,
      connectedAt: this.#connectedAt,
    };
  }

  /** Bytes from the network, valid during the call only. */
  receive(chunk: Uint8Array): void {
    if (this.#state === "closed") return;
    if (this.#state === "authenticating") this.#keepEarly(chunk);
    else if (!this.#canDecode() || this.#undecoded.length > 0) this.#keepUndecoded(chunk);
    else {
      this.#decodeChunk(chunk);
      this.#decoder.keepRest();
    }
  }

  #keepUndecoded(chunk: Uint8Array): void {
    if (this.#undecoded === NO_CHUNKS) this.#undecoded = [];
    this.#undecoded.push(copyBytes(chunk));
  }

  #keepEarly(chunk: Uint8Array): void {
    this.#keepUndecoded(chunk);
    const bytes = this.#undecoded.reduce((sum, { length }) => sum + length, 0);
    if (bytes > EARLY_BYTES_MAX) this.#refuse(ReasonCode.packetTooLarge);
  }

  /** There is room in the output again. */
  onRoom(): void {
    if (this.#session !== undefined) this.#broker.touch(this.#session);
  }

  /** The network connection is gone, from whichever side. */
  onClosed(): void {
    const disconnect = this.#held?.disconnect;
    try {
      // What the client said last counts, although it waits behind a held PUBLISH [MQTT-3.14.4-3].
      if (disconnect !== undefined && this.#session !== undefined) {
        this.#disconnect(disconnect);
      }
    } catch (error) {
      this.#onError(error);
    }
    this.#close(true);
  }

  /** Connect deadline, keep alive, the longest time a publisher is held back, or the end of being too fast. */
  onDue(now: Instant): void {
    this.#deadline = undefined;
    if (this.#state === "closed") return;
    if (this.#state === "awaitingConnect" || this.#state === "exchanging") {
      this.#close(false);
      return;
    }
    if (this.#state === "authenticating") {
      this.#refuse(ReasonCode.serverBusy);
      return;
    }
    if (this.#throttledUntil !== undefined && this.#throttledUntil <= now) this.#readOn(now);
    this.#scheduleNext(now);
  }

  /** The next deadline of an accepted client; ends the connection when it has passed already. */
  #scheduleNext(now: Instant): void {
    if (this.#state === "closed") return;
    let due: Instant | undefined;
    if (this.#heldSince !== undefined) {
      due = after(this.#heldSince, this.#options.holdMaxMs);
      if (due <= now) {
        this.end("quota-exceeded");
        return;
      }
    } else if (this.#throttledUntil === undefined) {
      const keepAliveMs = this.#keepAliveMs;
      if (keepAliveMs === 0) return;
      // Who is not read is not silent; one that does not read us is closed by the write timeout.
      if (this.#isFullOfAcks || this.#link.isFlooded) this.#lastReceivedAt = now;
      due = after(this.#lastReceivedAt, keepAliveMs * KEEP_ALIVE_GRACE);
      if (due <= now) {
        this.end("keep-alive-timeout");
        return;
      }
    }
    const throttledUntil = this.#throttledUntil;
    if (throttledUntil !== undefined && (due === undefined || throttledUntil < due)) {
      due = throttledUntil;
    }
    if (due !== undefined) this.#schedule(due);
  }

  /** It was too fast and has waited. */
  #readOn(now: Instant): void {
    this.#throttledUntil = undefined;
    this.#lastReceivedAt = now;
    this.#decodeOn();
  }

  /** Hot path: per message, where there is a limit. */
  #countRate(rate: PublishRate, packet: PublishPacket): void {
    const until = rate.take(packet.frameEnd - packet.frameStart, this.#lastReceivedAt);
    if (until === undefined) return;
    this.#broker.counters.limitPublishRate++;
    this.#throttledUntil = until;
  }

  /** Hot path: per message and subscriber. */
  deliver(
    message: Message,
    qos: QoS,
    packetId: number,
    isDuplicate: boolean,
    retain: boolean,
    subscriptionIds: readonly number[] | undefined,
  ): void {
    const outgoing = this.#outgoing ?? this.#openOutgoing();
    const isWritten = outgoing.write(message, qos, packetId, isDuplicate, retain, subscriptionIds);
    if (isWritten) {
      const { counters } = this.#broker;
      counters.packetsSent++;
      counters.payloadBytesSent += message.payloadEnd - message.payloadStart;
      this.#link.touch();
    }
    // As if it had been sent and acknowledged [MQTT-3.1.2-25].
    else if (qos > 0) this.#session?.outbound.discard(packetId);
    else this.#broker.counters.droppedTooLarge++;
  }

  /** MQTT 5 has response topics; 3.x can answer by the convention only. */
  requestRoom(_subscriptionIds: readonly number[] | undefined, isByConvention: boolean): number {
    if (this.#version !== ProtocolVersion.v5 && !isByConvention) return -1;
    return this.#link.hasRoom ? 1 : 0;
  }

  release(packetId: number, commit: CommitNumber): void {
    this.#acks.push(commit, { type: PacketType.pubrel, packetId, reasonCode: 0 });
  }

  end(reason: EndReason): void {
    // As after a crash: the session stays attached on disk, and its will with it.
    if (reason === "store-failed" || reason === "server-shutting-down") this.#isAbandoned = true;
    // Nothing is said before CONNECT [MQTT-3.2.0-1].
    if (this.#state === "awaitingConnect") this.#close(false);
    else if (this.#state === "connected") this.#fail(END_REASON_CODES[reason]);
    // CONNACK has no other reason code for it.
    else this.#fail(ReasonCode.serverUnavailable);
  }

  #decodeChunk(chunk: Uint8Array): void {
    this.#lastReceivedAt = this.#broker.clock.now();
    if (this.#state === "awaitingConnect" && this.#beginsWrongly(chunk)) {
      this.#onError(protocolError("the first packet is not CONNECT"));
      return;
    }
    this.#decoder.feed(chunk);
    this.#decodeAll();
  }

  /** What cannot become a CONNECT is not waited for, however long it says it is [MQTT-3.1.0-1]. */
  #beginsWrongly(chunk: Uint8Array): boolean {
    const [first] = chunk;
    if (first === undefined || this.#decoder.bufferedBytes > 0) return false;
    return first >>> 4 !== PacketType.connect;
  }

  #decodeAll(): void {
    try {
      while (this.#canDecode()) {
        const packet = this.#decoder.next();
        if (packet === undefined) return;
        this.#broker.counters.packetsReceived++;
        if (this.#rate !== undefined && packet.type === PacketType.publish) {
          this.#countRate(this.#rate, packet);
        }
        const held = this.#held;
        if (held === undefined || held.isEmpty || passesHeld(packet)) this.#handle(packet);
        else held.push(packet);
      }
      this.#isFullOfAcks = this.#acks.size >= WAITING_ACKS_MAX;
      this.#link.setPaused(this.#state !== "closed");
      if (this.#throttledUntil !== undefined) this.#scheduleNext(this.#lastReceivedAt);
    } catch (error) {
      this.#onError(error);
    }
  }

  #canDecode(): boolean {
    return (
      this.#state !== "closed" &&
      this.#state !== "authenticating" &&
      this.#throttledUntil === undefined &&
      this.#held?.isFull !== true &&
      this.#acks.size < WAITING_ACKS_MAX
    );
  }

  #onError(error: unknown): void {
    if (!(error instanceof ProtocolError)) throw error;
    const { counters } = this.#broker;
    counters.protocolErrors++;
    if (error.reasonCode === ReasonCode.packetTooLarge) counters.limitPacketBytes++;
    else if (error.reasonCode === ReasonCode.quotaExceeded) counters.limitProperties++;
    // Its version is not known: whatever is said could be misread.
    const isTooLargeConnect =
      this.#state === "awaitingConnect" && error.reasonCode === ReasonCode.packetTooLarge;
    if (isTooLargeConnect) this.#close(false);
    else this.#fail(error.reasonCode, error.message);
  }

  #handle(packet: Packet): void {
    if (packet.type === PacketType.publish && this.#session !== undefined) {
      this.#publish(packet, this.#session);
      return;
    }
    if (packet.type === PacketType.connect) {
      // [MQTT-3.1.0-2]
      if (this.#state !== "awaitingConnect") throw protocolError("a second CONNECT");
      this.#connect(packet);
      return;
    }
    const session = this.#session;
    if (session === undefined) {
      this.#handleEarly(packet);
      return;
    }
    if (packet.type === PacketType.disconnect) this.#disconnect(packet);
    else if (packet.type === PacketType.auth) this.#auth(packet);
    else if (packet.type === PacketType.pingreq) this.#overtake({ type: PacketType.pingresp });
    else this.#openControl().handle(packet, session, this.#inbound);
  }

  /** Overtakes acknowledgements that wait, but not CONNACK. */
  #overtake(packet: OutgoingPacket): void {
    if (this.#isAnnounced || this.#session === undefined) this.#send(packet);
    else this.#acks.push(NO_COMMIT, packet);
  }

  /** Before CONNECT is accepted. */
  #handleEarly(packet: Packet): void {
    // [MQTT-3.1.0-1]
    if (this.#state !== "exchanging") throw protocolError("the first packet is not CONNECT");
    if (packet.type === PacketType.auth) this.#auth(packet);
    else if (packet.type === PacketType.disconnect) this.#close(false);
    // [MQTT-3.1.2-30]
    else throw protocolError("neither AUTH nor DISCONNECT before CONNACK");
  }

  #connect(packet: ConnectPacket): void {
    const { properties } = packet;
    this.#version = packet.protocolVersion;
    this.#packetBytesMax = properties.maximumPacketBytes ?? Number.POSITIVE_INFINITY;
    this.#wantsProblemInformation = properties.requestProblemInformation ?? true;
    const refusal = refuseConnect(packet);
    if (refusal !== 0) {
      this.#refuse(refusal);
      return;
    }
    const { authenticationMethod } = properties;
    this.#authentication = new Authentication(this.#options, this.#link.peer.address, this);
    if (authenticationMethod === undefined) {
      this.#state = "authenticating";
      this.#authentication.checkPassword(packet);
    } else {
      this.#state = "exchanging";
      this.#authentication.beginExchange(packet, authenticationMethod);
    }
  }

  #auth(packet: AuthPacket): void {
    // [MQTT-4.12.0-6, 4.12.0-7]
    if (this.#authentication === undefined) throw protocolError("AUTH without method in CONNECT");
    this.#authentication.onAuth(packet, this.#session?.principal);
  }

  onAccepted(packet: ConnectPacket, principal: Principal, authentication?: Properties): void {
    if (authentication === undefined) this.#authentication = undefined;
    this.#accept(packet, principal, authentication);
  }

  onRefused(reasonCode: number): void {
    this.#refuse(reasonCode);
  }

  onAnswer(packet: AuthPacket): void {
    this.#overtake(packet);
  }

  onNotAgain(): void {
    this.#fail(ReasonCode.notAuthorized, "re-authentication failed");
  }

  /** What came while it was found out who the client is. */
  onLate(): void {
    if (this.#state !== "closed") this.#decodeOn();
  }

  #accept(packet: ConnectPacket, principal: Principal, authentication?: Properties): void {
    const { clock, topics, counters, authorizer } = this.#broker;
    const context = { options: this.#options, topics, authorizer, counters, now: clock.now() };
    const granted = grantConnect(packet, principal, context, authentication);
    if (typeof granted === "number") {
      this.#refuse(granted);
      return;
    }
    if (!takesConnack(granted, packet)) {
      this.#refuse(ReasonCode.packetTooLarge);
      return;
    }
    const result = this.#broker.connect({ ...granted, subscriber: this });
    if (typeof result === "string") {
      this.#refuse(SESSION_REASON_CODES[result]);
      return;
    }
    counters.connectionsAccepted++;
    this.#state = "connected";
    this.#lastReceivedAt = context.now;
    this.#connectedAt = context.now;
    this.#receiveMaximum = granted.receiveMaximum;
    this.#keepAliveMs = granted.keepAliveMs;
    this.#topicAliasMax = granted.topicAliasMax;
    this.#isExpiryAsked = granted.isExpiryAsked;
    this.#session = result.session;
    this.#decoder.packetBytesMax = this.#options.packetBytesMax;
    this.#broker.deadlines.cancel(this.#deadline);
    this.#deadline = undefined;
    this.#scheduleNext(context.now);
    this.#acks.push(result.commit, {
      type: PacketType.connack,
      sessionPresent: result.isPresent,
      reasonCode: ReasonCode.success,
      properties: granted.connackProperties,
    });
  }

  #openOutgoing(): Outgoing {
    const { output } = this.#link;
    const { clock } = this.#broker;
    this.#outgoing = new Outgoing(
      output,
      clock,
      this.#version,
      this.#packetBytesMax,
      this.#topicAliasMax,
    );
    return this.#outgoing;
  }

  #openInbound(session: Session): Inbound {
    this.#inbound = new Inbound(this.#broker, this.#options, session, this.#version);
    return this.#inbound;
  }

  #openControl(): ControlPackets {
    this.#control ??= new ControlPackets(this.#broker, this.#acks, this.#options);
    return this.#control;
  }

  /** Hot path: per message. */
  #publish(packet: PublishPacket, session: Session): void {
    if (!this.#tryPublish(packet, session)) this.#hold(packet);
  }

  /** False: there is no room for it now. */
  #tryPublish(packet: PublishPacket, session: Session): boolean {
    const inbound = this.#inbound ?? this.#openInbound(session);
    if (!inbound.publish(packet, session, this.#lastReceivedAt)) return false;
    if (packet.qos === 0) return true;
    const type = packet.qos === 1 ? PacketType.puback : PacketType.pubrec;
    const { ackReasonCode: reasonCode } = inbound;
    this.#acks.push(inbound.ackCommit, { type, packetId: packet.packetId, reasonCode });
    return true;
  }

  #disconnect(packet: DisconnectPacket): void {
    const seconds = packet.properties?.sessionExpirySeconds;
    // [MQTT 5.0 section 3.14.2.2.2]
    if (seconds !== undefined && seconds > 0 && !this.#isExpiryAsked) {
      throw protocolError("a session expiry interval where CONNECT had none");
    }
    const max = this.#options.sessionExpiryMaxMs;
    const expiryMs = seconds === undefined ? undefined : Math.min(expiryMsOf(seconds), max);
    // Reason code 0x04 asks for the will, 0x00 forbids it [MQTT-3.14.4-3]; other codes report an error.
    this.#close(packet.reasonCode !== ReasonCode.normalDisconnection, expiryMs);
  }

  #hold(packet: PublishPacket): void {
    this.#held ??= new HeldPackets();
    this.#held.push(packet);
    this.#heldSince = this.#broker.clock.now();
    this.#resume ??= (): void => this.#resumeHeld();
    this.#broker.whenRoom(this.#resume);
    this.#scheduleNext(this.#heldSince);
  }

  /** There may be room: what is held goes on in its order. */
  #resumeHeld(): void {
    const session = this.#session;
    const held = this.#held;
    if (session === undefined || held === undefined) return;
    try {
      this.#handleHeld(session, held);
    } catch (error) {
      this.#onError(error);
    }
    if (this.#state === "closed" || !held.isEmpty) return;
    this.#heldSince = undefined;
    this.#lastReceivedAt = this.#broker.clock.now();
    this.#scheduleNext(this.#lastReceivedAt);
    this.#decodeOn();
  }

  /** What kept from decoding is over. */
  #decodeOn(): void {
    this.#isFullOfAcks = false;
    this.#link.setPaused(false);
    this.#decodeAll();
    this.#decodeUndecoded();
  }

  #decodeUndecoded(): void {
    while (this.#canDecode()) {
      const chunk = this.#undecoded.shift();
      if (chunk === undefined) return;
      this.#decodeChunk(chunk);
    }
  }

  #handleHeld(session: Session, held: HeldPackets): void {
    for (let packet = held.peek(); packet !== undefined; packet = held.peek()) {
      if (this.#state === "closed") return;
      if (packet.type !== PacketType.publish) this.#handle(packet);
      else if (!this.#tryPublish(packet, session)) {
        if (this.#resume !== undefined) this.#broker.whenRoom(this.#resume);
        return;
      }
      held.shift();
      this.#heldSince = this.#broker.clock.now();
    }
  }

  #sendAck(ack: Answer): void {
    switch (ack.type) {
      case PacketType.puback:
      case PacketType.pubrec:
      case PacketType.pubrel:
      case PacketType.pubcomp:
        if (ack.type === PacketType.puback || ack.reasonCode >= 0x80) {
          this.#inbound?.onAnswered(ack);
        }
        if (ack.reasonCode >= 0x80) {
          this.#send(ack);
          break;
        }
        this.#broker.counters.packetsSent++;
        writeAck(this.#link.output, ack.type, ack.packetId, ack.reasonCode, this.#version);
        this.#link.touch();
        break;
      default:
        if (ack.type === PacketType.connack) this.#isAnnounced = true;
        this.#send(ack);
    }
    if (this.#isFullOfAcks && this.#acks.size === 0) this.#decodeOn();
    if (ack.type === PacketType.connack && this.#session?.owner === this) {
      this.#session.attach(this);
    }
  }

  /** What the client's Maximum Packet Size leaves no way to say ends the connection. */
  #send(packet: OutgoingPacket): void {
    if (!this.#trySend(packet)) this.#fail(ReasonCode.packetTooLarge);
  }

  /** False, and nothing sent: it is larger than the client takes [MQTT-3.1.2-24]. */
  #trySend(packet: OutgoingPacket): boolean {
    const isV5 = this.#version === ProtocolVersion.v5;
    const said = isV5 ? withReasonString(packet, this.#wantsProblemInformation) : packet;
    if (!encodePacket(this.#link.output, said, this.#version, this.#packetBytesMax)) return false;
    this.#broker.counters.packetsSent++;
    this.#link.touch();
    return true;
  }

  /** CONNECT is refused. */
  #refuse(reasonCode: number): void {
    countRefusal(this.#broker.counters, reasonCode);
    this.#fail(reasonCode);
  }

  /** Says why, where the protocol has a packet for it, and closes [MQTT-4.13.1-1]. */
  #fail(reasonCode: number, reasonString?: string): void {
    if (this.#state === "closed") return;
    // What is wrong with a CONNECT is answered in the version that it announced.
    if (this.#state === "awaitingConnect") this.#version = this.#decoder.protocolVersion;
    const isConnected = this.#state === "connected";
    const farewell = farewellOf(this.#state, this.#version, reasonCode, reasonString);
    // A client that was accepted and does not know it yet is told nothing [MQTT-3.14.0-1].
    if (farewell !== undefined && (!isConnected || this.#isAnnounced)) this.#trySend(farewell);
    this.#close(true);
  }

  #close(sendWill: boolean, expiryMs?: number): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#authentication?.cancel();
    this.#authentication = undefined;
    const session = this.#session;
    this.#broker.deadlines.cancel(this.#deadline);
    if (this.#resume !== undefined) this.#broker.forgetHeld(this.#resume);
    this.#acks.close();
    this.#held?.clear();
    this.#undecoded = NO_CHUNKS;
    if (session !== undefined && !this.#isAbandoned)
      this.#broker.sessions.disconnect(session, this, { sendWill, expiryMs });
    this.#link.close();
  }

  #schedule(at: Instant): void {
    const { deadlines } = this.#broker;
    deadlines.cancel(this.#deadline);
    this.#deadline = deadlines.add(at, this);
  }
}

const protocolError = (what: string): ProtocolError =>
  new ProtocolError(ReasonCode.protocolError, what);
