/** What becomes of requests, as plain lists: who may get one, who waits, which replies are known under a key. Made to be right by reading. */
import assert from "node:assert/strict";

export interface ModelLimits {
  readonly requestsMax: number;
  readonly requestsPerClientMax: number;
  readonly timeoutMaxMs: number;
  readonly cacheBytesMax: number;
}

/** Somebody who answers. */
export interface ModelResponder {
  /** What it answers; undefined: nothing. */
  filter: string | undefined;
  isShared: boolean;
  /** By the convention alone. */
  readonly isOld: boolean;
  /** Infinity: as many as there are. */
  credit: number;
  hasRoom: boolean;
}

interface Waiting {
  readonly requester: number;
  readonly tag: number;
  readonly deadline: number;
  readonly key: string | undefined;
  readonly ttlMs: number;
  readonly isConvention: boolean;
}

interface Known {
  readonly key: string;
  readonly text: string;
  readonly bytes: number;
  readonly until: number;
}

/** Who gets a request: each of `all`, and one of each of `groups`. */
export interface Recipients {
  readonly all: readonly number[];
  readonly groups: readonly (readonly number[])[];
}

const NOBODY: Recipients = { all: [], groups: [] };
/** What a cached reply takes besides its text and twice its key. */
const ENTRY_BYTES = 512;

export interface Asked {
  readonly request: string;
  readonly requester: number;
  readonly user: string | undefined;
  readonly tag: number;
  readonly topic: string;
  readonly timeoutMs: number;
  readonly cacheKey: string | undefined;
  readonly cacheTtlMs: number;
}

const isConvention = (topic: string): boolean => /^cmd\/.+\/\{requestId\}$/.test(topic);

/** `topic` with its last level as it is asked; filters here end in one `+` at most. */
function matches(filter: string, topic: string): boolean {
  if (!filter.endsWith("/+")) return filter === topic;
  const parent = filter.slice(0, -2);
  return topic.slice(0, topic.lastIndexOf("/")) === parent;
}

export class RequestModel {
  readonly limits: ModelLimits;
  readonly responders: ModelResponder[];
  readonly waiting = new Map<string, Waiting>();
  /** What requesters are told next: by requester, as the real ones write it. */
  outcomes = new Map<number, string[]>();
  /** In the order in which they were asked for last. */
  known: Known[] = [];
  counts = { replied: 0, cached: 0, failed: 0, noResponder: 0, timedOut: 0, refused: 0, late: 0 };

  constructor(limits: ModelLimits, responders: ModelResponder[]) {
    this.limits = limits;
    this.responders = responders;
  }

  get cacheBytes(): number {
    return this.known.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  #tell(requester: number, text: string): void {
    this.outcomes.set(requester, [...(this.outcomes.get(requester) ?? []), text]);
  }

  ask(asked: Asked, now: number): Recipients {
    const { requester, tag, topic, request } = asked;
    const own = [...this.waiting.values()].filter((one) => one.requester === requester);
    const isFull =
      this.waiting.size >= this.limits.requestsMax ||
      own.length >= this.limits.requestsPerClientMax;
    if (topic.startsWith("$") || topic.includes("#") || isFull) {
      this.counts.refused++;
      this.#tell(
        requester,
        `${tag} ${isFull && !/[$#]/.test(topic) ? "limit-exceeded" : "bad-topic"}`,
      );
      return NOBODY;
    }
    const isCached = asked.cacheKey !== undefined && asked.cacheTtlMs > 0;
    const key = isCached ? JSON.stringify([asked.user ?? null, topic, asked.cacheKey]) : undefined;
    const found = this.known.find((one) => one.key === key);
    if (found !== undefined) {
      this.known = this.known.filter((one) => one !== found);
      if (found.until > now) {
        this.known.push(found);
        this.counts.cached++;
        this.#tell(requester, `${tag} ${found.text} (cached)`);
        return NOBODY;
      }
    }
    const recipients = this.#recipients(topic);
    if (recipients === "nobody" || recipients === "busy") {
      if (recipients === "busy") this.counts.refused++;
      else this.counts.noResponder++;
      this.#tell(requester, `${tag} ${recipients === "busy" ? "busy" : "no-responder"}`);
      return NOBODY;
    }
    this.waiting.set(request, {
      ...{ requester, tag, key, ttlMs: asked.cacheTtlMs },
      deadline: now + Math.min(asked.timeoutMs, this.limits.timeoutMaxMs),
      isConvention: isConvention(topic),
    });
    return recipients;
  }

  #recipients(topic: string): Recipients | "nobody" | "busy" {
    const able = [...this.responders.entries()].filter(([, { filter, isOld }]) => {
      return filter !== undefined && matches(filter, topic) && (!isOld || isConvention(topic));
    });
    if (able.length === 0) return "nobody";
    const ready = able.filter(([, { credit, hasRoom }]) => credit > 0 && hasRoom);
    if (ready.length === 0) return "busy";
    const all = ready.filter(([, { isShared }]) => !isShared).map(([index]) => index);
    const shared = ready.filter(([, { isShared }]) => isShared);
    const filters = new Set(shared.map(([, { filter }]) => filter));
    const groups = [...filters].map((filter) =>
      shared.filter(([, one]) => one.filter === filter).map(([index]) => index),
    );
    return { all, groups };
  }

  /** Somebody answers; false: nobody waits for it. */
  answer(request: string, text: string, error: string | undefined, now: number): boolean {
    const waiting = this.waiting.get(request);
    if (waiting === undefined) {
      this.counts.late++;
      return false;
    }
    this.waiting.delete(request);
    const { requester, tag, key, ttlMs } = waiting;
    if (error !== undefined) {
      this.counts.failed++;
      this.#tell(requester, `${tag} responder-error: ${error}`);
      return true;
    }
    if (key !== undefined) this.#keep(key, text, now + ttlMs);
    this.counts.replied++;
    this.#tell(requester, `${tag} ${text}`);
    return true;
  }

  #keep(key: string, text: string, until: number): void {
    const { cacheBytesMax } = this.limits;
    this.known = this.known.filter((one) => one.key !== key);
    const bytes = text.length + 2 * key.length + ENTRY_BYTES;
    if (bytes > cacheBytesMax / 8) return;
    this.known.push({ key, text, bytes, until });
    while (this.cacheBytes > cacheBytesMax) this.known.shift();
  }

  /** Time has come to `now`. */
  advance(now: number): void {
    for (const [request, { requester, tag, deadline }] of [...this.waiting]) {
      if (deadline > now) continue;
      this.waiting.delete(request);
      this.counts.timedOut++;
      this.#tell(requester, `${tag} timeout`);
    }
  }

  /** The requester is gone: nobody waits for what it asked. */
  forget(requester: number): void {
    for (const [request, one] of [...this.waiting]) {
      if (one.requester === requester) this.waiting.delete(request);
    }
    this.outcomes.delete(requester);
  }

  /** The broker ends: nothing of this is on disk. */
  crash(): void {
    this.waiting.clear();
    this.outcomes.clear();
    this.known = [];
    for (const key of Object.keys(this.counts)) this.counts[key as keyof typeof this.counts] = 0;
    for (const responder of this.responders) {
      responder.filter = undefined;
      responder.hasRoom = true;
    }
  }

  /** What a requester was told since the last look. */
  take(requester: number): string[] {
    const told = this.outcomes.get(requester) ?? [];
    this.outcomes.delete(requester);
    return told;
  }

  check(size: number, cacheBytes: number): void {
    assert.equal(size, this.waiting.size, "requests that wait");
    assert.equal(cacheBytes, this.cacheBytes, "bytes of cached replies");
  }
}
