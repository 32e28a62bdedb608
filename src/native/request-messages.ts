/** Requests: asking, answering, and subs that get what is asked. */

import type { Message } from "../broker/message.ts";
import {
  type AnswerOutcome,
  type IncomingRequest,
  incomingRequestOf,
  type Requester,
  type RequestFailure,
} from "../broker/requests.ts";
import type { Session } from "../broker/session.ts";
import type { Instant } from "../lib/clock.ts";
import type { Caller } from "./caller.ts";
import {
  type ContentFields,
  checkContent,
  checkFilter,
  checkTopic,
  fillContent,
  messageOf,
} from "./content.ts";
import type { ErrorCode, ReplyFrame, RequestFrame, RespondFrame } from "./frame.ts";
import { Refusal } from "./refusal.ts";
import { mustSubscribe } from "./rights.ts";
import type { Sub } from "./subs.ts";

/** Requests that one connection got and has not answered, besides those whose time is over; and what they take, in bytes about. */
const UNANSWERED_MAX = 65_536;
const UNANSWERED_BYTES_MAX = 16_777_216;
/** What is kept of one beside its texts. */
const UNANSWERED_BYTES = 256;
/** Of those whose time is over so many, or so many bytes of all, are kept: their answers are counted as late. */
const OVER_MAX = 1_024;
const OVER_BYTES_MAX = 262_144;

interface Unanswered extends IncomingRequest {
  /** Nobody waits for the answer from then on; undefined: it did not say how long it waits. */
  readonly until: Instant | undefined;
}

const FAILURE_CODES: Readonly<Record<RequestFailure, ErrorCode>> = {
  "bad-topic": "bad-frame",
  "not-authorized": "not-authorized",
  "limit-exceeded": "limit-exceeded",
  "no-responder": "no-responder",
  busy: "busy",
  "responder-error": "responder-error",
  timeout: "timeout",
};

const OUTCOME_CODES: Readonly<Record<Exclude<AnswerOutcome, "taken">, [ErrorCode, string]>> = {
  "not-found": ["not-found", "nobody waits for this reply any more"],
  "not-authorized": ["not-authorized", "the requester may not get, or you not send, a reply there"],
  busy: ["busy", "there is no room for the reply just now"],
};

/** Asks for one connection. `tag` is the number of the frame that asked. */
export class NativeRequester implements Requester {
  readonly session: Session;
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
    this.session = caller.session;
  }

  onReply(tag: number, reply: Message, isCached: boolean): void {
    const { clock } = this.#caller.broker;
    const fields: ContentFields = {};
    const { expiryMs: _is, responseTopic: _not, ...result } = fillContent(fields, reply, clock);
    this.#caller.reply(tag, isCached ? { ...result, cached: true } : result);
  }

  onRequestFailed(tag: number, failure: RequestFailure, text: string): void {
    this.#caller.refuse(tag, FAILURE_CODES[failure], text);
  }
}

export function ask(caller: Caller, requester: Requester, frame: RequestFrame): void {
  const { broker, options, session } = caller;
  const { topic = "", timeoutMs, cacheKey, cacheTtlMs = 0 } = frame;
  checkTopic(topic, options, broker.counters);
  checkContent(frame, options, broker.counters);
  const message = messageOf(frame, {
    topic: broker.topics.of(topic),
    qos: 0,
    retain: false,
    publisherId: session.clientId,
    now: broker.clock.now(),
  });
  broker.requests.send(requester, frame.id, message, { timeoutMs, cacheKey, cacheTtlMs });
}

/**
 * Requests that a connection got and may answer, by the numbers that they have there. When there are many, those whose time is over go as
 * others come, in the order in which they came.
 */
export class UnansweredRequests {
  readonly #requests = new Map<number, Unanswered>();
  #bytes = 0;
  #lastNumber = 0;

  /** Undefined: nobody waits for an answer to it. The oldest is forgotten when there are too many. */
  add(message: Message, now: Instant): number | undefined {
    const request = incomingRequestOf(message);
    if (request === undefined) return undefined;
    this.#bytes += bytesOf(request);
    for (const [oldest, { until = Number.POSITIVE_INFINITY }] of this.#requests) {
      if (this.#isWithin(UNANSWERED_MAX, UNANSWERED_BYTES_MAX) && until > now) break;
      if (this.#isWithin(OVER_MAX, OVER_BYTES_MAX)) break;
      this.delete(oldest);
    }
    this.#requests.set(++this.#lastNumber, { ...request, until: message.expiresAt });
    return this.#lastNumber;
  }

  get size(): number {
    return this.#requests.size;
  }

  get(number: number): IncomingRequest | undefined {
    return this.#requests.get(number);
  }

  #isWithin(requestsMax: number, bytesMax: number): boolean {
    return this.#requests.size < requestsMax && this.#bytes <= bytesMax;
  }

  /** It is answered, or nobody waits for it. */
  delete(number: number): void {
    const request = this.#requests.get(number);
    if (request === undefined) return;
    this.#requests.delete(number);
    this.#bytes -= bytesOf(request);
  }
}

const bytesOf = ({ responseTopic, correlation, requesterId }: IncomingRequest): number =>
  responseTopic.length + (correlation?.length ?? 0) + requesterId.length + UNANSWERED_BYTES;

export function answerRequest(
  caller: Caller,
  unanswered: UnansweredRequests,
  frame: ReplyFrame,
): void {
  const { broker, options, session } = caller;
  checkContent(frame, options, broker.counters);
  const request = unanswered.get(frame.request);
  if (request === undefined) throw new Refusal("not-found", "there is no such request");
  const message = messageOf(frame, {
    topic: broker.topics.of("reply"),
    qos: 0,
    retain: false,
    publisherId: session.clientId,
    now: broker.clock.now(),
  });
  const outcome = broker.requests.answer(session, request, message, frame.error);
  // Without room it may be tried again.
  if (outcome !== "busy") unanswered.delete(frame.request);
  if (outcome !== "taken") throw new Refusal(...OUTCOME_CODES[outcome]);
  caller.reply(frame.id, {});
}

/** Requests of one filter. */
export class ResponderSub implements Sub {
  readonly id: number;
  credit: number;
  readonly #caller: Caller;
  readonly #topicFilter: string;
  readonly #unanswered: UnansweredRequests;

  constructor(
    caller: Caller,
    unanswered: UnansweredRequests,
    id: number,
    topicFilter: string,
    credit: number,
  ) {
    this.#caller = caller;
    this.#unanswered = unanswered;
    this.id = id;
    this.#topicFilter = topicFilter;
    this.credit = credit;
  }

  /** True: it was sent. What asks for no answer is not for responders. Hot path: per request. */
  deliver(message: Message): boolean {
    if (this.credit <= 0) {
      this.#caller.broker.counters.droppedSlowSubscriber++;
      return false;
    }
    const { clock } = this.#caller.broker;
    const request = this.#unanswered.add(message, clock.now());
    if (request === undefined) return false;
    this.credit--;
    const fields: ContentFields = {};
    const {
      expiryMs: deadlineMs,
      responseTopic: _ours,
      ...content
    } = fillContent(fields, message, clock);
    this.#caller.send({
      op: "request",
      sub: this.id,
      request,
      topic: message.topic.text,
      ...(deadlineMs === undefined ? {} : { deadlineMs }),
      ...content,
    });
    return true;
  }

  pump(): void {}

  isAllowed(): boolean {
    return this.#caller.session.subscriptions.has(this.#topicFilter);
  }

  close(): void {
    const { broker, session } = this.#caller;
    // A session that has ended has none, and its clientId may have another one by now.
    if (!session.hasEnded) broker.subscriptions.unsubscribe(session, [this.#topicFilter], []);
  }
}

export function respond(
  caller: Caller,
  unanswered: UnansweredRequests,
  { id: frameId, filter, group, credit }: RespondFrame,
): void {
  const { broker, options, session, subs } = caller;
  checkFilter(filter, options, broker.counters);
  mustSubscribe(caller, filter);
  const topicFilter = group === undefined ? filter : `$share/${group}/${filter}`;
  if (session.subscriptions.has(topicFilter)) {
    throw new Refusal("exists", "this connection has a sub of this filter");
  }
  const id = subs.nextId();
  const sub = {
    qos: 0,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 2,
    subscriptionId: id,
  } as const;
  const results: boolean[] = [];
  broker.subscribe(session, { filters: [{ topicFilter, options: sub }], results });
  if (results[0] !== true) throw new Refusal("limit-exceeded", "too many subscriptions");
  subs.add(new ResponderSub(caller, unanswered, id, topicFilter, subs.creditOf(credit)));
  caller.reply(frameId, { sub: id });
}
