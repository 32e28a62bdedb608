const REWRITE_EVERY_MS = 100;
const PRINT_EVERY_MS = 2_000;

/** Where progress is shown: a terminal, or any sink of text. */
export interface ProgressSink {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/**
 * One live line. On a terminal it is rewritten ten times a second; elsewhere a line is printed every two
 * seconds. Lasting lines are printed above it.
 */
export class ProgressLine {
  readonly #sink: ProgressSink;
  readonly #compose: () => string;
  readonly #everyMs: number;
  #timer: NodeJS.Timeout | undefined;

  /** `compose` is asked for the text of the line each time it is shown. */
  constructor(sink: ProgressSink, compose: () => string) {
    this.#sink = sink;
    this.#compose = compose;
    this.#everyMs = sink.isTTY === true ? REWRITE_EVERY_MS : PRINT_EVERY_MS;
  }

  start(): void {
    this.#timer = setInterval(() => this.#show(), this.#everyMs);
    this.#timer.unref();
  }

  /** Prints a line that stays. */
  print(text: string): void {
    this.#clear();
    this.#sink.write(`${text}\n`);
    if (this.#timer !== undefined && this.#sink.isTTY === true) this.#show();
  }

  /** Shows the line a last time and leaves it standing. Idempotent. */
  stop(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#show();
    if (this.#sink.isTTY === true) this.#sink.write("\n");
  }

  #show(): void {
    const text = this.#compose();
    if (this.#sink.isTTY !== true) this.#sink.write(`${text}\n`);
    else {
      this.#clear();
      this.#sink.write(text.slice(0, (this.#sink.columns ?? 80) - 1));
    }
  }

  #clear(): void {
    if (this.#sink.isTTY === true) this.#sink.write("\r\u001b[2K");
  }
}
