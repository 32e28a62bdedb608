/**
 * One connection that speaks the native protocol, server side; sans-IO.
 *
 *     awaitingHello --hello--> authenticating --accepted--> welcomed --welcome on its way--> connected
 *                        any of them --error, end--> closed
 *
 * Frames are handled in the order in which they came, only while it is **connected**, and not while
 * - one of them is **held**: the store has no room for it. It is tried again, and after `holdMaxMs` refused;
 * - `requestsMax` answers wait for the disk;
 * - more output waits than the write budget allows;
 * - it sent messages faster than it may, until it is within its rate again.
 * Then the network is not read either. Answers that mean "on disk" leave in order, each not before its commit is flushed; others overtake
 * them. The file is long because a state machine is read in one piece.
 */
import { AcknowledgementQueue } from "../broker/acknowledgements.ts";
import type { AuthenticationOutcome, Principal } from "../broker/authenticator.ts";
import type { Broker } from "../broker/broker.ts";
import type { LogDelivery } from "../broker/delivery-receiver.ts";
import type { Due } from "../broker/due.ts";
import type { Message, QoS } from "../broker/message.ts";
import { PublishRate } from "../broker/publish-rate.ts";
import { isReplyTopic } from "../broker/reply-topics.ts";
import type { Session } from "../broker/session.ts";
import type { CommitNumber } from "../broker/store.ts";
import type { EndReason, Subscriber } from "../broker/subscriber.ts";
import { after, type Instant } from "../lib/clock.ts";
import type { Deadline } from "../lib/deadline-heap.ts";
import type { Caller, Result } from "./caller.ts";
import { DropNotices } from "./drop-notices.ts";
import { EventSub } from "./events.ts";
import type { ClientFrame, ErrorCode, HelloFrame, ServerFrame, Subprotocol } from "./frame.ts";
import { codecOf, type FrameCodec } from "./frame-codec.ts";
import { checkClientFrame, FrameError } from "./frame-fields.ts";
import { FrameWriter } from "./frame-writer.ts";
import {
  AUTHENTICATION_CODES,
  claimOf,
  END_CODES,
  helloMistake,
  SESSION_CODES,
  welcome,
} from "./hello.ts";
import type { NativeLink } from "./link.ts";
import type { NativeOptions } from "./native-options.ts";
import { type Desk, handle } from "./ops.ts";
import { HOLD, isRetryable, Refusal } from "./refusal.ts";
import type { CountedOp } from "./request-counts.ts";
import { NativeRequester, ResponderSub, UnansweredRequests } from "./request-messages.ts";
import { Subs } from "./subs.ts";
import { Waits } from "./waits.ts";

/** Most bytes that are kept while it is found out who the client is: what the network had read already. */
const EARLY_BYTES_MAX = 262_144;
/** Told with `held`. */
const HELD_AFTER_MS = 1_000;

/** What an operator wants to know of an accepted client. */
export interface NativeView {
  readonly address: string;
  readonly certificateSubject?: string;
  /** Such as `rill.v1+json`. */
  readonly protocol: Subprotocol;
  readonly connectedAt: Instant;
}

/** An answer that waits for its commit. */
interface Answer {
  /** What it answers; undefined: nothing, nobody asked for an answer. */
  readonly id: number | undefined;
  /** Of an `ok`; undefined: `frame` is sent. */
  readonly result: Result | undefined;
  readonly frame: ServerFrame | undefined;
  readonly then: (() => void) | undefined;
}

export class NativeConnection implements Subscriber, Due {
  /** Nobody gets anything with QoS above 0 here. */
  readonly receiveMaximum = 65_535;
  readonly #broker: Broker;
  readonly #link: NativeLink;
  readonly #options: NativeOptions;
  readonly #subprotocol: Subprotocol;
  readonly #codec: FrameCodec;
  readonly #writer: FrameWriter;
  readonly #acks: AcknowledgementQueue<Answer>;
  readonly #notices: DropNotices;
  readonly #subs: Subs;
  readonly #waits: Waits;
  /** Messages of the network that are not decoded, and frames of one that are not handled. */
  readonly #undecoded: Uint8Array[] = [];
  #undecodedBytes = 0;
  #frames: readonly unknown[] = [];
  /** Bytes of the message that they came in, until something that it published is counted. */
  #uncountedBytes = 0;
  #nextFrame = 0;
  #state: "awaitingHello" | "authenticating" | "welcomed" | "connected" | "closed" =
    "awaitingHello";
  #cancelAuthentication: (() => void) | undefined;
  #session: Session | undefined;
  #desk: Desk | undefined;
  #deadline: Deadline<Due> | undefined;
  #lastReceivedAt: Instant;
  #connectedAt: Instant;
  #isPinged = false;
  /** A frame waits for room in the store since then. */
  #heldSince: Instant | undefined;
  readonly #rate: PublishRate | undefined;
  /** It was too fast: nothing more is handled before. */
  #throttledUntil: Instant | undefined;
  /** Handling frames now: nothing that happens meanwhile begins it anew. */
  #isRunning = false;
  /** The broker is of no use any more: nothing is given back to it. */
  #isAbandoned = false;
  readonly #resume = (): void => {
    this.#heldSince = undefined;
    this.#lastReceivedAt = this.#broker.clock.now();
    this.#run();
  };

  constructor(broker: Broker, link: NativeLink, subprotocol: Subprotocol, options: NativeOptions) {
    this.#broker = broker;
    this.#link = link;
    this.#options = options;
    this.#subprotocol = subprotocol;
    this.#codec = codecOf(subprotocol);
    this.#writer = new FrameWriter(this.#codec);
    this.#acks = new AcknowledgementQueue(broker.gate, (answer) => this.#sendAnswer(answer));
    const send = (frame: ServerFrame): void => this.#send(frame);
    this.#notices = new DropNotices(broker.deadlines, broker.clock, send);
    this.#subs = new Subs(send, options.limits, broker.counters);
    this.#waits = new Waits(options.limits.requestsMax, broker.counters);
    this.#lastReceivedAt = broker.clock.now();
    this.#connectedAt = this.#lastReceivedAt;
    this.#rate = PublishRate.of(options, this.#lastReceivedAt);
    this.#schedule(after(this.#lastReceivedAt, options.helloTimeoutMs));
    broker.counters.nativeOpened++;
  }

  /** The session, once `hello` is accepted. */
  get session(): Session | undefined {
    return this.#session;
  }

  get hasRoom(): boolean {
    return this.#link.hasRoom;
  }

  view(): NativeView {
    const { address, certificateSubject } = this.#link.peer;
    return {
      address,
      ...(certificateSubject === undefined ? {} : { certificateSubject }),
      protocol: this.#subprotocol,
      connectedAt: this.#connectedAt,
    };
  }

  /** A message of the WebSocket; it stays unchanged. */
  receive(message: Uint8Array): void {
    if (this.#state === "closed") return;
    this.#lastReceivedAt = this.#broker.clock.now();
    this.#isPinged = false;
    this.#undecoded.push(message);
    this.#undecodedBytes += message.length;
    const isEarly = this.#state === "authenticating" || this.#state === "welcomed";
    if (isEarly && this.#undecodedBytes > EARLY_BYTES_MAX) {
      this.#fail("too-large", "too much before welcome");
      return;
    }
    this.#run();
  }

  /** There is room in the output again. */
  onRoom(): void {
    if (this.#state !== "connected" || this.#session === undefined) return;
    this.#broker.touch(this.#session);
    this.#subs.pump();
    for (const deliveries of this.#desk?.holdings ?? []) deliveries.pump();
    this.#run();
  }

  /** The network connection is gone, from whichever side. */
  onClosed(): void {
    this.#close();
  }

  /** Too late with `hello`; a frame that is held for too long; silence. */
  onDue(now: Instant): void {
    this.#deadline = undefined;
    switch (this.#state) {
      case "closed":
        return;
      case "awaitingHello":
        this.#fail("timeout", "no hello in time");
        return;
      case "authenticating":
        this.#fail("busy", "it took too long to find out who it is");
        return;
      case "welcomed":
      case "connected":
        this.#checkHeld(now);
        this.#checkRate(now);
        this.#checkIdle(now);
    }
  }

  /** Hot path: per event. */
  deliver(
    message: Message,
    _qos: QoS,
    _packetId: number,
    _isDuplicate: boolean,
    retain: boolean,
    subscriptionIds: readonly number[] | undefined,
  ): void {
    const { responseTopic } = message.properties ?? {};
    // Made by a `request`: it is for one who answers, and for nobody else.
    const isRequest = responseTopic !== undefined && isReplyTopic(responseTopic);
    for (const id of subscriptionIds ?? []) {
      const sub = this.#subs.get(id);
      if (sub instanceof ResponderSub) {
        if (sub.deliver(message) && isRequest) return;
      } else if (sub instanceof EventSub && !isRequest) sub.deliver(message, retain);
    }
  }

  /** How many requests those of these subs that answer take now; below 0: none of them does. */
  requestRoom(subscriptionIds: readonly number[] | undefined): number {
    let room = -1;
    for (const id of subscriptionIds ?? []) {
      const sub = this.#subs.get(id);
      if (sub instanceof ResponderSub) room = Math.max(room, 0) + sub.credit;
    }
    return room > 0 && !this.#link.hasRoom ? 0 : room;
  }

  hasCredit(subscriptionIds: readonly number[] | undefined): boolean {
    return (subscriptionIds ?? []).some((id) => (this.#subs.get(id)?.credit ?? 0) > 0);
  }

  missed(subscriptionIds: readonly number[] | undefined): void {
    for (const id of subscriptionIds ?? []) {
      const sub = this.#subs.get(id);
      if (sub instanceof EventSub) sub.miss();
    }
  }

  onRulesChanged(): void {
    this.#subs.onRulesChanged();
    this.#waits.onRulesChanged();
  }

  /** There is no QoS 2 here. */
  release(_packetId: number, _commit: CommitNumber): void {}

  end(reason: EndReason): void {
    if (reason === "store-failed") this.#isAbandoned = true;
    this.#fail(...END_CODES[reason]);
  }

  /** Handles what has come, as far as that may go on. */
  #run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      while (this.#mayHandle() && this.#handleNext());
    } catch (error) {
      this.#onError(error);
    } finally {
      this.#isRunning = false;
    }
    if (this.#state !== "closed") this.#link.setPaused(!this.#mayHandle());
  }

  #mayHandle(): boolean {
    if (this.#state === "awaitingHello") return true;
    return (
      this.#state === "connected" &&
      this.#heldSince === undefined &&
      this.#throttledUntil === undefined &&
      this.#acks.size < this.#options.limits.requestsMax &&
      this.#link.hasRoom
    );
  }

  /** False: there is nothing more. */
  #handleNext(): boolean {
    if (this.#nextFrame >= this.#frames.length) {
      const message = this.#undecoded.shift();
      if (message === undefined) return false;
      this.#undecodedBytes -= message.length;
      this.#nextFrame = 0;
      this.#frames = [];
      this.#frames = this.#codec.decode(message);
      this.#uncountedBytes = message.length;
      return true;
    }
    const frame = this.#frames[this.#nextFrame];
    if (this.#handleFrame(frame)) this.#nextFrame++;
    return true;
  }

  /** False: it is held. */
  #handleFrame(value: unknown): boolean {
    const { counters } = this.#broker;
    const { counts } = this.#options;
    let id: number | undefined;
    let op: CountedOp = "invalid";
    let messages = 0;
    try {
      const frame = checkClientFrame(value);
      if (this.#rate !== undefined) messages = messagesIn(frame);
      ({ op } = frame);
      ({ id } = frame as { readonly id?: number });
      if (this.#desk === undefined || frame.op === "hello") this.#hello(frame);
      else if (handle(this.#desk, frame) === HOLD) {
        this.#hold();
        return false;
      }
      counters.framesReceived++;
      counts.count(op, "ok");
    } catch (error) {
      if (error instanceof FrameError || error instanceof Refusal) counts.count(op, error.code);
      this.#refuseFrame(id, error);
    }
    if (messages > 0) this.#countRate(messages);
    return true;
  }

  /** Messages were taken or refused. Hot path where there is a limit. */
  #countRate(messages: number): void {
    const bytes = this.#uncountedBytes;
    this.#uncountedBytes = 0;
    const until = this.#rate?.take(bytes, this.#broker.clock.now(), messages);
    if (until === undefined || this.#state === "closed") return;
    this.#broker.counters.limitPublishRate++;
    this.#throttledUntil = until;
    this.#schedule(until);
  }

  /** It was too fast and has waited. */
  #checkRate(now: Instant): void {
    if (this.#throttledUntil === undefined || now < this.#throttledUntil) return;
    this.#throttledUntil = undefined;
    this.#lastReceivedAt = now;
    this.#run();
  }

  /** @throws whatever is not for the client alone */
  #refuseFrame(id: number | undefined, error: unknown): void {
    if (error instanceof FrameError && error.id !== undefined && this.#desk !== undefined) {
      this.#refuse(error.id, error.code, error.message);
    } else if (error instanceof Refusal) {
      if (error.code === "not-authorized") this.#broker.counters.droppedNotAuthorized++;
      this.#refuse(id, error.code, error.message, error.fields);
    } else {
      throw error;
    }
  }

  #onError(error: unknown): void {
    if (!(error instanceof FrameError)) throw error;
    this.#broker.counters.protocolErrors++;
    this.#fail(error.code, error.message, error.id);
  }

  #hello(frame: ClientFrame): void {
    if (this.#state === "connected") throw new FrameError("bad-frame", "a second hello");
    if (frame.op !== "hello") throw new FrameError("not-authenticated", "hello comes first");
    const mistake = helloMistake(frame);
    if (mistake !== undefined) {
      this.#refuseHello(frame, mistake);
      return;
    }
    this.#state = "authenticating";
    const { authenticator, allowsAnonymous } = this.#options;
    const claim = claimOf(frame, this.#link.peer.address, allowsAnonymous);
    const cancel = authenticator.authenticate(claim, (outcome) =>
      this.#onAuthenticated(frame, outcome),
    );
    // The answer may have come already.
    if (this.#is("authenticating")) this.#cancelAuthentication = cancel;
  }

  #is(state: "authenticating" | "closed"): boolean {
    return this.#state === state;
  }

  #refuseHello(hello: HelloFrame, [code, text]: readonly [ErrorCode, string]): void {
    const { counters } = this.#broker;
    if (code === "bad-credentials") counters.refusedCredentials++;
    else if (code === "not-authenticated" || code === "not-authorized")
      counters.refusedNotAuthorized++;
    else if (code === "busy") counters.refusedBusy++;
    else counters.connectionsRefused++;
    this.#fail(code, text, hello.id);
  }

  #onAuthenticated(hello: HelloFrame, outcome: AuthenticationOutcome): void {
    if (this.#state !== "authenticating") return;
    this.#cancelAuthentication = undefined;
    if (outcome.isAccepted) this.#accept(hello, outcome.principal);
    else this.#refuseHello(hello, AUTHENTICATION_CODES[outcome.refusal]);
    // Not from inside the authenticator's own turn of handling.
    if (!this.#is("closed")) this.#run();
  }

  #accept(hello: HelloFrame, principal: Principal): void {
    const broker = this.#broker;
    const { clientId = this.#options.assignClientId() } = hello;
    const request = { clientId, principal, cleanStart: true, expiryMs: 0, will: undefined };
    const result = broker.connect({ ...request, subscriber: this });
    if (typeof result === "string") {
      this.#refuseHello(hello, SESSION_CODES[result]);
      return;
    }
    broker.counters.connectionsAccepted++;
    const { session } = result;
    this.#state = "welcomed";
    this.#session = session;
    this.#connectedAt = broker.clock.now();
    this.#lastReceivedAt = this.#connectedAt;
    this.#scheduleIdle();
    const frame = welcome(hello, clientId, principal, this.#options);
    const then = (): void => {
      this.#state = "connected";
      if (session.owner === this) session.attach(this);
      this.#desk = this.#makeDesk(session);
      this.#run();
    };
    this.#acks.push(result.commit, { id: undefined, result: undefined, frame, then });
  }

  #makeDesk(session: Session): Desk {
    const hasRoom = (): boolean => !this.#is("closed") && this.#link.hasRoom;
    const caller: Caller = {
      broker: this.#broker,
      options: this.#options,
      session,
      subs: this.#subs,
      waits: this.#waits,
      holdings: new Set(),
      get hasRoom() {
        return hasRoom();
      },
      send: (frame) => this.#send(frame),
      sendDeliveries: (sub, deliveries) => this.#sendDeliveries(sub, deliveries),
      reply: (id, result) => this.#reply(id, result),
      answer: (id, commit, result, then) => {
        if (id === undefined && then === undefined) return;
        this.#acks.push(commit, { id, result, frame: undefined, then });
      },
      refuse: (id, code, text) => this.#refuse(id, code, text),
    };
    return Object.assign(caller, {
      notices: this.#notices,
      requester: new NativeRequester(caller),
      unanswered: new UnansweredRequests(),
    });
  }

  #hold(): void {
    const { clock } = this.#broker;
    this.#heldSince = clock.now();
    this.#broker.whenRoom(this.#resume);
    this.#schedule(after(this.#heldSince, this.#options.holdMaxMs));
  }

  #checkHeld(now: Instant): void {
    if (this.#heldSince === undefined) return;
    if (now < after(this.#heldSince, this.#options.holdMaxMs)) return;
    // It was checked when it was handled first.
    const { id, op } = this.#frames[this.#nextFrame++] as ClientFrame & { readonly id?: number };
    this.#options.counts.count(op, "held");
    this.#broker.forgetHeld(this.#resume);
    this.#broker.counters.refused++;
    this.#refuse(id, "held", "the disk does not keep up", { afterMs: HELD_AFTER_MS });
    this.#resume();
  }

  /** Asks a client that is silent whether it is there, and ends the connection when it does not answer. */
  #checkIdle(now: Instant): void {
    if (this.#is("closed")) return;
    const { idleMs } = this.#options.limits;
    // Who is not read is not silent.
    if (!this.#mayHandle()) this.#lastReceivedAt = now;
    else if (now >= after(this.#lastReceivedAt, 2 * idleMs)) {
      this.end("keep-alive-timeout");
      return;
    } else if (now >= after(this.#lastReceivedAt, idleMs) && !this.#isPinged) {
      this.#isPinged = true;
      this.#send({ op: "ping" });
    }
    this.#scheduleIdle();
  }

  #scheduleIdle(): void {
    if (this.#heldSince !== undefined) {
      this.#schedule(after(this.#heldSince, this.#options.holdMaxMs));
      return;
    }
    if (this.#throttledUntil !== undefined) {
      this.#schedule(this.#throttledUntil);
      return;
    }
    const { idleMs } = this.#options.limits;
    this.#schedule(after(this.#lastReceivedAt, this.#isPinged ? 2 * idleMs : idleMs));
  }

  #reply(id: number | undefined, result: Result): void {
    if (id === undefined || this.#state === "closed") return;
    this.#broker.counters.framesSent++;
    this.#writer.writeOk(this.#link.output, id, result);
    this.#link.touch();
  }

  #refuse(
    id: number | undefined,
    code: ErrorCode,
    text: string,
    fields?: Readonly<Record<string, unknown>>,
  ): void {
    this.#broker.counters.framesRefused++;
    if (id !== undefined) this.#send(errorOf(id, code, text, fields));
  }

  /** Hot path: per answer. */
  #sendAnswer({ id, result, frame, then }: Answer): void {
    if (result !== undefined) this.#reply(id, result);
    else if (frame !== undefined) this.#send(frame);
    then?.();
    if (this.#acks.size === 0 && this.#state === "connected") this.#run();
  }

  /** Hot path: per frame. */
  #send(frame: ServerFrame): void {
    if (this.#state === "closed") return;
    this.#broker.counters.framesSent++;
    this.#writer.write(this.#link.output, frame);
    this.#link.touch();
  }

  /** Hot path: per message of a queue. */
  #sendDeliveries(sub: number, deliveries: readonly LogDelivery[]): void {
    if (this.#state === "closed") return;
    this.#broker.counters.framesSent++;
    this.#writer.writeDeliveries(this.#link.output, sub, deliveries, this.#broker.clock);
    this.#link.touch();
  }

  /** Says why and closes. */
  #fail(code: ErrorCode, text: string, id?: number): void {
    if (this.#state === "closed") return;
    this.#send(errorOf(id, code, text));
    this.#close();
  }

  #close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    const broker = this.#broker;
    const session = this.#session;
    const desk = this.#desk;
    this.#cancelAuthentication?.();
    broker.deadlines.cancel(this.#deadline);
    broker.forgetHeld(this.#resume);
    this.#acks.close();
    this.#notices.close();
    this.#undecoded.length = 0;
    this.#frames = [];
    broker.counters.nativeClosed++;
    if (!this.#isAbandoned) {
      this.#waits.close();
      this.#subs.close();
      if (desk !== undefined) {
        broker.requests.forget(desk.requester);
        for (const deliveries of desk.holdings) deliveries.release(desk);
      }
      if (session !== undefined) broker.sessions.disconnect(session, this, { sendWill: false });
    }
    this.#link.close();
  }

  #schedule(at: Instant): void {
    const { deadlines } = this.#broker;
    deadlines.cancel(this.#deadline);
    this.#deadline = deadlines.add(at, this);
  }
}

/** How many messages a client sends with a frame. Hot path where there is a limit. */
function messagesIn(frame: ClientFrame): number {
  switch (frame.op) {
    case "publish":
    case "request":
    case "reply":
    case "route":
      return 1;
    case "append":
    case "send":
      return frame.messages.length;
    default:
      return 0;
  }
}

const errorOf = (
  id: number | undefined,
  code: ErrorCode,
  text: string,
  fields: Readonly<Record<string, unknown>> = {},
): ServerFrame => ({
  op: "error",
  ...(id === undefined ? {} : { id }),
  code,
  text,
  retry: isRetryable(code),
  ...fields,
});
