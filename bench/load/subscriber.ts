/**
 * The subscriber's process: one connection that counts, acknowledges and reads the accounts of all processes at
 * both ends of the measured window. Started by the bench; ends with it.
 */
import { readProcessUsage } from "../process-accounting.ts";
import { Link } from "./link.ts";
import type { Mark, SubscriberCommand, SubscriberReport } from "./load-messages.ts";
import { PacketWalker } from "./packet-walker.ts";
import { Reception } from "./reception.ts";

const READ_BUFFER_BYTES = 262_144;
/**
 * After a read of less than this a QoS 0 subscriber pauses for a moment: so it takes whole runs of small writes
 * at once and leaves its core to the others. The kernel buffers more than arrives meanwhile.
 */
const SHORT_READ_BYTES = 16_384;
const PAUSE_MS = 1;
/** The window ends by the clock when nothing arrives any more to end it. */
const WINDOW_GRACE_MS = 500;
/** A flood can leave more in TCP's buffers than a slow broker forwards in this time: then drops stay unknown. */
const DRAIN_MS_MAX = 5_000;
const DRAIN_POLL_MS = 20;
/** Without an arrival for so long what is missing does not come. */
const QUIET_MS = 1_000;

type Open = Extract<SubscriberCommand, { kind: "open" }>;

function report(message: SubscriberReport): void {
  process.send?.(message);
}

class Subscriber {
  readonly #options: Open;
  readonly #link: Link;
  readonly #reception: Reception;
  readonly #walker: PacketWalker;
  #windowFromMs = Number.POSITIVE_INFINITY;
  #begin: Mark | undefined;
  #isMeasured = false;
  #lastArrivalMs = 0;

  constructor(options: Open, link: Link) {
    this.#options = options;
    this.#link = link;
    this.#reception = new Reception(options.qos, options.publishBytes);
    this.#walker = new PacketWalker(this.#reception.onPacket);
    link.receive((bytes, count) => this.#received(bytes, count));
  }

  /** Waits until `expected` messages have arrived, or no more come, or the time for it is over. */
  async drain(expected: number): Promise<void> {
    const from = performance.now();
    let isDrained = false;
    let isLate = false;
    while (!isDrained && !isLate) {
      const now = performance.now();
      const quietMs = now - Math.max(this.#lastArrivalMs, from);
      isDrained = this.#reception.received >= expected || quietMs > QUIET_MS;
      isLate = now - from > DRAIN_MS_MAX;
      if (!isDrained) await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    }
    const { received, redelivered } = this.#reception;
    const unexpected = this.#reception.unexpected + (isDrained ? this.#walker.heldBytes : 0);
    report({ kind: "drained", received, redelivered, unexpected, isDrained });
  }

  // Hot path: per read.
  #received(bytes: Uint8Array, count: number): boolean {
    this.#walker.feed(bytes, count);
    const acknowledgements = this.#reception.takeAcknowledgements();
    if (acknowledgements !== undefined) this.#link.write(acknowledgements);
    const now = performance.now();
    if (!this.#isMeasured) this.#measure(now);
    this.#lastArrivalMs = now;
    if (this.#options.qos > 0 || count >= SHORT_READ_BYTES) return true;
    setTimeout(() => this.#link.resume(), PAUSE_MS);
    return false;
  }

  #measure(now: number): void {
    const { warmupMs, windowMs } = this.#options;
    if (this.#lastArrivalMs === 0) {
      this.#windowFromMs = now + warmupMs;
      setTimeout(() => this.#endWindow(), warmupMs + windowMs + WINDOW_GRACE_MS);
    }
    if (now < this.#windowFromMs) return;
    if (this.#begin === undefined) this.#begin = this.#mark();
    else if (now - this.#begin.atMs >= windowMs) this.#endWindow();
  }

  #endWindow(): void {
    if (this.#isMeasured) return;
    this.#isMeasured = true;
    const end = this.#mark();
    report({ kind: "measured", begin: this.#begin ?? end, end });
  }

  #mark(): Mark {
    const { brokerPid, publisherPid } = this.#options;
    return {
      atMs: performance.now(),
      received: this.#reception.received,
      broker: readProcessUsage(brokerPid),
      publisher: readProcessUsage(publisherPid),
      subscriber: readProcessUsage(process.pid),
    };
  }
}

let subscriber: Subscriber | undefined;

function failed(reason: string): void {
  report({ kind: "failed", reason: `subscriber: ${reason}` });
}

async function handle(command: SubscriberCommand): Promise<void> {
  if (command.kind === "drain") {
    await subscriber?.drain(command.expected);
    return;
  }
  const { port, isDurable } = command;
  const clientId = "bench-subscriber";
  const options = { port, clientId, cleanStart: !isDurable, readBufferBytes: READ_BUFFER_BYTES };
  const link = await Link.open({ ...options, onLost: failed });
  await link.subscribe(command.topicFilter, command.qos);
  subscriber = new Subscriber(command, link);
  report({ kind: "opened" });
}

process.on("message", (command: SubscriberCommand) => {
  handle(command).catch((error: Error) => failed(error.message));
});
process.on("disconnect", () => process.exit());
