/** What is known of requests: who asked what, who got it, who answered, and what became of it. */
import assert from "node:assert/strict";
import { filterMatches } from "../../src/broker/topic.ts";
import type { NativeLine } from "./native-line.ts";
import type { Stage } from "./stage.ts";

/** Whoever answers; alone, or as one of a group. */
export interface Responder {
  readonly name: string;
  readonly filter: string;
  readonly group: string | undefined;
  readonly hasRoom: () => boolean;
  /** The broker may not have handled what it said last, credit among it. */
  readonly isBlocked: () => boolean;
  /** From the next step on it is there for sure. */
  isOpen: boolean;
  isLive: boolean;
  credit: number;
  creditBefore: number;
}

/** An answer that came to the broker. */
export interface Reply {
  readonly ask: Ask;
  /** The payload, or what went wrong. */
  readonly text: string;
  readonly isError: boolean;
  readonly line: NativeLine | undefined;
  readonly requesterWasGone: boolean;
  /** The broker has handled it. */
  isHandled: boolean;
}

/** One request. */
export interface Ask {
  /** Its payload. */
  readonly key: string;
  readonly topic: string;
  /** Undefined: asked by a publish, and answered by as many as like. */
  readonly timeoutMs: number | undefined;
  readonly cache: { readonly cacheKey: string; readonly cacheTtlMs: number } | undefined;
  arrivedAt: number;
  line: NativeLine | undefined;
  /** It may have been handled later than it came. */
  isLate: boolean;
  /** What was kept for it when it came. */
  kept: string | undefined;
  /** Who got it. */
  readonly given: Set<string>;
  readonly replies: Reply[];
  outcome: string | undefined;
  /** The requester is not there any more. */
  isGone: boolean;
}

export class RequestBook {
  asked = 0;
  answered = 0;
  cached = 0;
  readonly #stage: Stage;
  readonly #asks = new Map<string, Ask>();
  readonly #responders = new Set<Responder>();
  #fresh: Ask[] = [];
  #unhandled: Reply[] = [];
  /** By topic and key. */
  readonly #kept = new Map<string, { readonly text: string; readonly until: number }>();

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  ask(key: string, topic: string, timeoutMs: number | undefined, cache: Ask["cache"]): Ask {
    const ask: Ask = {
      key,
      topic,
      timeoutMs,
      cache,
      arrivedAt: 0,
      line: undefined,
      isLate: false,
      kept: undefined,
      given: new Set(),
      replies: [],
      outcome: undefined,
      isGone: false,
    };
    this.#asks.set(key, ask);
    this.asked++;
    return ask;
  }

  /** The broker has it. */
  arrived(ask: Ask, line: NativeLine | undefined): void {
    ask.arrivedAt = this.#stage.now;
    ask.line = line;
    ask.isLate = line?.isBlocked === true;
    const kept = this.#kept.get(keptUnder(ask));
    if (ask.cache !== undefined && kept !== undefined && kept.until > this.#stage.now) {
      ask.kept = kept.text;
    }
    this.#fresh.push(ask);
  }

  joined(fields: Omit<Responder, "isOpen" | "isLive" | "creditBefore">): Responder {
    const responder = { ...fields, isOpen: false, isLive: false, creditBefore: 0 };
    this.#responders.add(responder);
    return responder;
  }

  left(responder: Responder): void {
    this.#responders.delete(responder);
  }

  /** A responder got it. */
  given(responder: Responder, key: string, topic: string, deadlineMs: number | undefined): void {
    const ask = this.#asks.get(key);
    const what = `${responder.name}: request ${key}`;
    assert.ok(ask !== undefined, `${what} is unknown`);
    assert.equal(ask.outcome, undefined, `${what} has its outcome already`);
    const isAsked = topic === ask.topic || topicOf(ask).startsWith("cmd/");
    assert.ok(isAsked && filterMatches(responder.filter, topic), `${what} on ${topic}`);
    assert.ok(responder.credit > 0, `${what} without credit`);
    responder.credit--;
    const taker = responder.group ?? responder.name;
    assert.ok(!ask.given.has(taker), `${what} came twice to ${taker}`);
    ask.given.add(taker);
    if (ask.timeoutMs === undefined) return;
    assert.ok(deadlineMs === undefined || deadlineMs <= ask.timeoutMs, `${what}: ${deadlineMs}`);
  }

  /** An answer is about to arrive; undefined: there is no such request. */
  replied(key: string, text: string, isError: boolean, line: NativeLine | undefined): Reply {
    const ask = this.#asks.get(key);
    assert.ok(ask !== undefined);
    const requesterWasGone = ask.isGone;
    const reply: Reply = { ask, text, isError, line, requesterWasGone, isHandled: false };
    ask.replies.push(reply);
    this.#unhandled.push(reply);
    return reply;
  }

  /** The broker said that an answer is the outcome. */
  taken({ ask, text, requesterWasGone }: Reply): void {
    if (ask.timeoutMs === undefined) return;
    assert.ok(!requesterWasGone, `${ask.key}: a reply was taken for nobody`);
    const isOutcome = ask.outcome === text || (ask.isGone && ask.outcome === undefined);
    assert.ok(isOutcome, `${ask.key}: ${text} was taken, and the outcome is ${ask.outcome}`);
  }

  /** The broker said that nobody waits for an answer. */
  refused({ ask }: Reply, code: string): void {
    assert.equal(code, "not-found", `${ask.key}: reply refused`);
    if (ask.timeoutMs === undefined) return;
    assert.ok(ask.outcome !== undefined || ask.isGone, `${ask.key}: nobody took the first reply`);
  }

  /** Somebody who asked by a publish got this answer. */
  checkAnswered(key: string, text: string): void {
    const replies = this.#asks.get(key)?.replies ?? [];
    assert.ok(
      replies.some((reply) => reply.text === text),
      `${key}: nobody answered ${text}`,
    );
  }

  onCached(ask: Ask, text: string, at: number): void {
    const kept = this.#kept.get(keptUnder(ask));
    this.cached++;
    assert.ok(ask.cache !== undefined && kept !== undefined, `${ask.key}: nothing is kept for it`);
    assert.ok(kept.until > at && kept.text === text, `${ask.key}: ${text} is not kept any more`);
    assert.equal(ask.given.size, 0, `${ask.key} was kept, and asked all the same`);
    this.#end(ask, text);
  }

  onReply(ask: Ask, text: string, at: number): void {
    this.answered++;
    this.#checkFirst(ask, text, false);
    this.#end(ask, text);
    if (ask.cache === undefined) return;
    this.#kept.set(keptUnder(ask), { text, until: at + ask.cache.cacheTtlMs });
  }

  onFailed(ask: Ask, code: string, text: string, at: number): void {
    const { key, given, timeoutMs = 0 } = ask;
    const what = `${key}: ${code}`;
    switch (code) {
      case "responder-error":
        this.#checkFirst(ask, text, true);
        this.#end(ask, text);
        return;
      case "timeout": {
        assert.ok(at >= ask.arrivedAt + timeoutMs, `${what} too early`);
        assert.ok(given.size > 0, `${what}, and nobody was asked`);
        const isAnswered = ask.replies.some(({ isHandled }) => isHandled);
        assert.ok(!isAnswered, `${what}, and there was a reply`);
        break;
      }
      case "no-responder": {
        const there = this.#answering(ask).filter(({ isLive }) => isLive);
        assert.deepEqual(
          there.map(({ name }) => name),
          [],
          what,
        );
        assert.ok(given.size === 0 && (at === ask.arrivedAt || ask.isLate), what);
        break;
      }
      case "busy": {
        const ready = this.#answering(ask).filter((one) => this.#isReady(one));
        assert.ok(this.#answering(ask).length > 0 && given.size === 0, what);
        if (!ask.isLate)
          assert.deepEqual(
            ready.map(({ name }) => name),
            [],
            what,
          );
        break;
      }
      default:
        assert.fail(`${what}: ${text}`);
    }
    this.#end(ask, code);
  }

  /** Those who are there alone got every request that they could take. */
  onJudged(): void {
    for (const ask of this.#fresh) {
      ask.isLate ||= ask.line?.isBlocked === true;
      const isOut = ask.given.size > 0 && !ask.isLate;
      if (isOut && ask.timeoutMs !== undefined) this.#checkGiven(ask);
    }
    this.#fresh = [];
    for (const responder of this.#responders) {
      responder.isLive ||= responder.isOpen;
      const { credit, creditBefore } = responder;
      if (credit <= creditBefore || !responder.isBlocked()) responder.creditBefore = credit;
    }
    this.#unhandled = this.#unhandled.filter((reply) => {
      const { line } = reply;
      reply.isHandled = line === undefined || (!line.isBlocked && !line.isOver);
      return !reply.isHandled && line?.isOver === false;
    });
  }

  onCrash(): void {
    this.#kept.clear();
    this.#responders.clear();
    this.#fresh = [];
    this.#unhandled = [];
    for (const ask of this.#asks.values()) ask.isGone = true;
  }

  check(): void {
    for (const { key, arrivedAt, outcome, isGone, timeoutMs } of this.#asks.values()) {
      if (timeoutMs === undefined || arrivedAt === 0 || isGone) continue;
      assert.ok(outcome !== undefined, `${key} has no outcome`);
    }
  }

  #end(ask: Ask, outcome: string): void {
    const { key, kept } = ask;
    assert.equal(ask.outcome, undefined, `${key} has two outcomes`);
    ask.outcome = outcome;
    if (kept !== undefined && !ask.isLate) {
      assert.equal(ask.given.size, 0, `${key}: ${kept} was kept for it`);
    }
  }

  /** An answer that came before, from one who was not held up, would have been the outcome. */
  #checkFirst(ask: Ask, text: string, isError: boolean): void {
    const { key, replies, given } = ask;
    const found = replies.find((reply) => reply.text === text && reply.isError === isError);
    assert.ok(found !== undefined && given.size > 0, `${key}: nobody answered ${text}`);
    const earlier = replies.slice(0, replies.indexOf(found)).filter(({ isHandled }) => isHandled);
    assert.deepEqual(
      earlier.map((reply) => reply.text),
      [],
      `${key}: ${text} was not the first`,
    );
  }

  #checkGiven(ask: Ask): void {
    for (const responder of this.#answering(ask)) {
      if (responder.group !== undefined || !this.#isReady(responder)) continue;
      assert.ok(ask.given.has(responder.name), `${ask.key} did not come to ${responder.name}`);
    }
  }

  #isReady({ isLive, creditBefore, hasRoom }: Responder): boolean {
    return isLive && creditBefore >= this.#fresh.length && hasRoom();
  }

  #answering(ask: Ask): readonly Responder[] {
    return [...this.#responders].filter(({ filter }) => filterMatches(filter, topicOf(ask)));
  }
}

const keptUnder = ({ topic, cache }: Ask): string => `${topic} ${cache?.cacheKey}`;

/** Where it goes, about: the token is of the broker's making. */
const topicOf = ({ topic }: Ask): string => topic.replace("{requestId}", "token");
