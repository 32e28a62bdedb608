import type { Subprotocol } from "../../../src/native/frame.ts";
import { PatternClient } from "./pattern-client.ts";
import { below, payloadOf, type Station } from "./station.ts";
import type { StreamLedger } from "./stream-ledger.ts";

export const STREAM = "records";

const WINDOW = 4;
const BATCH_MAX = 4;
/** Answers in one round, at most: the stream grows to the end. */
const ROUND_MAX = 60;

/** Appends with identifiers, and again what had no answer. */
export class StreamAppender {
  readonly client: PatternClient;
  isSending = true;
  readonly #station: Station;
  readonly #ledger: StreamLedger;
  readonly #open = new Set<readonly string[]>();
  #number = 0;
  #round = 0;

  constructor(name: string, subprotocol: Subprotocol, station: Station, ledger: StreamLedger) {
    this.client = new PatternClient(name, subprotocol);
    this.#station = station;
    this.#ledger = ledger;
  }

  /** Frames without answer. */
  get open(): number {
    return this.#open.size;
  }

  async connect(url: string): Promise<void> {
    this.#round = 0;
    await this.client.connect(url);
    for (const payloads of this.#open) this.#append(payloads);
    this.#fill();
  }

  #fill(): void {
    while (this.isSending && this.#open.size < WINDOW && this.#round < ROUND_MAX) {
      this.#round++;
      const payloads = Array.from(
        { length: 1 + below(this.#station, BATCH_MAX) },
        () => `${this.client.clientId}#${this.#number++}`,
      );
      this.#ledger.appended += payloads.length;
      this.#open.add(payloads);
      this.#append(payloads);
    }
  }

  #append(payloads: readonly string[]): void {
    const messages = payloads.map((name) => ({ payload: payloadOf(name), messageId: name }));
    this.client.ask({ op: "append", stream: STREAM, messages }, (answer) => {
      if (answer.op !== "ok") {
        this.#station.fault(`append: ${JSON.stringify(answer)}`);
        return;
      }
      this.#open.delete(payloads);
      const sequences = answer["sequences"] as number[];
      for (const [index, payload] of payloads.entries()) {
        this.#ledger.answer(payload, sequences[index] ?? 0);
      }
      this.#station.note("append answered");
      this.#fill();
    });
    this.#station.note("append");
  }
}
