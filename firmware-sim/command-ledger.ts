/** How an answer found its way: by response topic and correlation data (MQTT 5), or by the topic convention. */
export type AnswerWay = "response-topic" | "convention";

/** A moment of the comparison; counts of commands unless said otherwise. */
export interface CommandCounts {
  /** To be issued in the whole run. */
  readonly planned: number;
  /** Handed to the commander's MQTT client. */
  readonly issued: number;
  /** Whose PUBACK the commander received. */
  readonly accepted: number;
  /** Accepted while their device was asleep. */
  readonly acceptedAsleep: number;
  /** With at least one answer. */
  readonly answered: number;
  /** Answers beyond the first of a command. */
  readonly repeated: number;
  /** Answers that came by another way than agreed with their device, or from another device. */
  readonly misrouted: number;
  /** Answers to commands of this run that nobody issued. */
  readonly unknown: number;
}

interface Command {
  readonly device: string;
  readonly way: AnswerWay;
  isAccepted: boolean;
  answers: number;
}

/** The commander's account book: one entry per command, so the number of planned commands is its bound. */
export class CommandLedger {
  readonly #planned: number;
  readonly #commands = new Map<string, Command>();
  #accepted = 0;
  #acceptedAsleep = 0;
  #answered = 0;
  #repeated = 0;
  #misrouted = 0;
  #unknown = 0;

  constructor(planned: number) {
    this.#planned = planned;
  }

  /** A command leaves; issuing it again after a refusal changes nothing. `way`: how its device is to answer. */
  issue(requestId: string, device: string, way: AnswerWay): void {
    if (this.#commands.has(requestId)) return;
    this.#commands.set(requestId, { device, way, isAccepted: false, answers: 0 });
  }

  /** Its PUBACK came, with success; `isAsleep`: its device is not connected at that moment and will come back. */
  accept(requestId: string, isAsleep: boolean): void {
    const command = this.#commands.get(requestId);
    if (command === undefined || command.isAccepted) return;
    command.isAccepted = true;
    this.#accepted += 1;
    if (isAsleep) this.#acceptedAsleep += 1;
  }

  /** An answer came. */
  answer(requestId: string, device: string, way: AnswerWay): void {
    const command = this.#commands.get(requestId);
    if (command === undefined) {
      this.#unknown += 1;
      return;
    }
    if (command.device !== device || command.way !== way) {
      this.#misrouted += 1;
      return;
    }
    command.answers += 1;
    if (command.answers === 1) this.#answered += 1;
    else this.#repeated += 1;
  }

  /** Everything planned was issued and answered. */
  get isDone(): boolean {
    return this.#answered >= this.#planned;
  }

  /** Up to `max` commands without an answer as `device requestId`, to start a search with. */
  unanswered(max: number): string[] {
    const found: string[] = [];
    for (const [requestId, { device, answers }] of this.#commands) {
      if (found.length >= max) break;
      if (answers === 0) found.push(`${device} ${requestId}`);
    }
    return found;
  }

  counts(): CommandCounts {
    return {
      planned: this.#planned,
      issued: this.#commands.size,
      accepted: this.#accepted,
      acceptedAsleep: this.#acceptedAsleep,
      answered: this.#answered,
      repeated: this.#repeated,
      misrouted: this.#misrouted,
      unknown: this.#unknown,
    };
  }
}
