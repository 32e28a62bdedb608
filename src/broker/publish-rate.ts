import { after, type Instant } from "../lib/clock.ts";

/** Limits per second; 0: none. */
export interface PublishRateLimits {
  readonly publishRateMax: number;
  readonly publishBytesPerSecondMax: number;
}

/** A bucket that holds what one second allows and fills at that rate. May be overdrawn: then it says how long to wait. */
class Bucket {
  readonly #perSecond: number;
  #tokens: number;
  #filledAt: Instant;

  constructor(perSecond: number, now: Instant) {
    this.#perSecond = perSecond;
    this.#tokens = perSecond;
    this.#filledAt = now;
  }

  /** Takes so many; returns after how many milliseconds the bucket is no longer overdrawn. */
  take(count: number, now: Instant): number {
    const perSecond = this.#perSecond;
    const filled = this.#tokens + (Math.max(now - this.#filledAt, 0) * perSecond) / 1_000;
    this.#filledAt = now;
    this.#tokens = Math.min(filled, perSecond) - count;
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens * 1_000) / perSecond);
  }
}

/**
 * How fast one client may publish: token buckets for messages and bytes, full at the start. A packet or frame that is there is always
 * taken, so that one of any size comes through; what it overdraws is waited for before the client is read again.
 */
export class PublishRate {
  readonly #messages: Bucket | undefined;
  readonly #bytes: Bucket | undefined;

  private constructor(
    { publishRateMax, publishBytesPerSecondMax }: PublishRateLimits,
    now: Instant,
  ) {
    this.#messages = publishRateMax === 0 ? undefined : new Bucket(publishRateMax, now);
    this.#bytes =
      publishBytesPerSecondMax === 0 ? undefined : new Bucket(publishBytesPerSecondMax, now);
  }

  /** Undefined: there is no limit. */
  static of(limits: PublishRateLimits, now: Instant): PublishRate | undefined {
    const { publishRateMax, publishBytesPerSecondMax } = limits;
    const isUnlimited = publishRateMax === 0 && publishBytesPerSecondMax === 0;
    return isUnlimited ? undefined : new PublishRate(limits, now);
  }

  /** So many messages of so many bytes came. Returns until when nothing more is to be read; undefined: read on. */
  take(bytes: number, now: Instant, messages = 1): Instant | undefined {
    const forMessages = this.#messages?.take(messages, now) ?? 0;
    const forBytes = this.#bytes?.take(bytes, now) ?? 0;
    const waitMs = Math.max(forMessages, forBytes);
    return waitMs === 0 ? undefined : after(now, waitMs);
  }
}
