/** What went through the messaging patterns since the start. */
import type { Message } from "./message.ts";

/** One pattern; plain numbers, because hot paths add to them. */
export class PatternCounts {
  /** Messages that came in, and bytes of their payloads. */
  messagesIn = 0;
  bytesIn = 0;
  /** Those that were handed to somebody. */
  messagesOut = 0;
  bytesOut = 0;
  /** Of them, not for the first time. */
  redelivered = 0;
  /** What became of what was handed out and is to be settled. */
  acknowledged = 0;
  rejected = 0;
  requeued = 0;
  extended = 0;
  /** Its visibility was over. */
  timedOut = 0;
  /** The connection that had it ended. */
  released = 0;
  /** Settled without being handed out, by purging. */
  purged = 0;

  /** Hot path: per message. */
  countIn({ payloadStart, payloadEnd }: Message): void {
    this.messagesIn++;
    this.bytesIn += payloadEnd - payloadStart;
  }

  /** Hot path: per message. */
  countOut({ payloadStart, payloadEnd }: Message): void {
    this.messagesOut++;
    this.bytesOut += payloadEnd - payloadStart;
  }
}

/** Events are counted by their QoS, see `Counters`. */
export type CountedPattern = "stream" | "queue" | "request" | "reply";

/** Of all of them. */
export type AllPatternCounts = Readonly<Record<CountedPattern, PatternCounts>>;

export const newPatternCounts = (): AllPatternCounts => ({
  stream: new PatternCounts(),
  queue: new PatternCounts(),
  request: new PatternCounts(),
  reply: new PatternCounts(),
});
