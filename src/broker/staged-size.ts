/** What was appended to a log and is not on disk yet, so that its bounds hold between two commits, too. */
import { type Message, propertyBytes } from "./message.ts";

/** What a record takes besides its message, about. */
const RECORD_BYTES = 24;

export class StagedSize {
  messages = 0;
  /** About: once a part is on disk, the rest is taken to be as large on average. */
  bytes = 0;

  /** Hot path: per message. */
  add({ payloadStart, payloadEnd, topic, properties }: Message): void {
    this.messages++;
    const payloadBytes = payloadEnd - payloadStart;
    this.bytes += payloadBytes + topic.bytes.length + propertyBytes(properties) + RECORD_BYTES;
  }

  /** A commit is on disk; so many messages came while it was on its way. */
  onFlushed(stagedMessages: number): void {
    if (this.messages === 0) return;
    const messages = Math.min(this.messages, stagedMessages);
    this.bytes = Math.ceil((this.bytes * messages) / this.messages);
    this.messages = messages;
  }
}
