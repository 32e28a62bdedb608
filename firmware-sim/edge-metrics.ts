import type { Ready } from "./edge-process.ts";

const POLL_MS = 150;
const SCRAPE_MS_MAX = 2_000;

/** The sum of all samples of one metric in Prometheus' text format; undefined when there is none. */
export function metricTotal(text: string, name: string): number | undefined {
  let total: number | undefined;
  for (const line of text.split("\n")) {
    if (!line.startsWith(name)) continue;
    const next = line[name.length];
    if (next !== "{" && next !== " ") continue;
    const value = Number(
      line
        .slice(line.lastIndexOf("}") + 1 || name.length)
        .trim()
        .split(" ")[0],
    );
    if (!Number.isNaN(value)) total = (total ?? 0) + value;
  }
  return total;
}

/** Watches the backlog of an edge through its `/metrics`, over all its lives. */
export class EdgeMetrics {
  readonly #edge: () => Ready | undefined;
  /** The last total of each life, by pid: it counts from the start of a process. */
  readonly #reconciledByPid = new Map<number, number>();
  #timer: NodeJS.Timeout | undefined;
  #isPolling = false;
  #polls = 0;
  #lag: number | undefined;
  #lagPeak = 0;

  /** `edge` says which life runs now; undefined: none, so there is nothing to ask. */
  constructor(edge: () => Ready | undefined) {
    this.#edge = edge;
  }

  /** Messages that the uplink has not delivered, when last asked; undefined before the first answer. */
  get lag(): number | undefined {
    return this.#lag;
  }

  get lagPeak(): number {
    return this.#lagPeak;
  }

  /** Answers so far; a reader that needs a fresh figure waits until it has grown by two. */
  get polls(): number {
    return this.#polls;
  }

  /** Records found stored at the centre, though unacknowledged, when the uplink asked after a reconnect. */
  get reconciled(): number {
    let sum = 0;
    for (const reconciled of this.#reconciledByPid.values()) sum += reconciled;
    return sum;
  }

  start(): void {
    this.#timer = setInterval(() => {
      if (!this.#isPolling) void this.#poll();
    }, POLL_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #poll(): Promise<void> {
    const ready = this.#edge();
    if (ready === undefined) return;
    this.#isPolling = true;
    try {
      const url = new URL("/metrics", ready.httpUrl);
      const response = await fetch(url, { signal: AbortSignal.timeout(SCRAPE_MS_MAX) });
      this.#note(ready.pid, await response.text());
    } catch {
      // The edge is down or starting; the next poll tells.
    } finally {
      this.#isPolling = false;
    }
  }

  #note(pid: number, text: string): void {
    const lag = metricTotal(text, "rillmq_uplink_lag_messages");
    if (lag === undefined) return;
    this.#polls += 1;
    this.#lag = lag;
    this.#lagPeak = Math.max(this.#lagPeak, lag);
    this.#reconciledByPid.set(pid, metricTotal(text, "rillmq_uplink_reconciled_total") ?? 0);
  }
}
