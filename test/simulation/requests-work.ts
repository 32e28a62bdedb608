/**
 * Requests over both protocols: native requesters with deadlines and cached replies, MQTT 5 requesters with response topics of their own;
 * native responders, alone and in a group, MQTT 5 responders, and 3.1.1 devices that answer by topic. Every native request has one outcome, which
 * is what it must be; nobody gets a request twice, a group gets it once, and the first reply is the answer.
 */
import assert from "node:assert/strict";
import type { ServerFrame } from "../../src/native/frame.ts";
import type { Answer, Asking, NativeLine } from "./native-line.ts";
import { type Ask, type Reply, RequestBook, type Responder } from "./request-book.ts";
import type { Mark } from "./simulated-link.ts";
import { payloadBytes, payloadText, type Stage, type Step } from "./stage.ts";
import { Credit, type Work } from "./work.ts";

const GROUP = "desk";
/** Which native clients answer: alone, and in the group. */
const ALONE: ReadonlySet<number> = new Set([1]);
const GROUPED: ReadonlySet<number> = new Set([2, 4]);
const TOPICS = ["svc/a", "svc/a", "svc/b", "svc/b", "cmd/dev/{requestId}", "nobody/here"] as const;

/** A request that a native client got and has not answered. */
interface Open {
  readonly line: NativeLine;
  readonly number: number;
  readonly key: string;
}

export class RequestsWork implements Work {
  readonly book: RequestBook;
  readonly steps: readonly Step[];
  readonly #stage: Stage;
  readonly #lines: () => readonly NativeLine[];
  #open: Open[] = [];
  readonly #credits = new Set<Credit>();

  constructor(stage: Stage, lines: () => readonly NativeLine[]) {
    this.#stage = stage;
    this.#lines = lines;
    this.book = new RequestBook(stage);
    this.steps = [
      [14, "native-request", () => this.#ask()],
      [14, "native-reply", () => this.#replySome()],
      [3, "native-request-credit", () => stage.pick([...this.#credits])?.give()],
    ];
  }

  onDial(line: NativeLine, index: number): void {
    const { chance } = { chance: (share: number) => this.#stage.chance(share) };
    if (ALONE.has(index) && (!this.#stage.hasFaults || chance(0.6))) this.#respond(line, undefined);
    if (GROUPED.has(index)) this.#respond(line, GROUP);
  }

  onCrash(): void {
    this.#open = [];
    this.book.onCrash();
  }

  onJudged(): void {
    this.book.onJudged();
  }

  drain(): void {
    for (const credit of this.#credits) credit.give();
    for (const open of this.#open.splice(0)) this.#reply(open);
  }

  check(): void {
    this.book.check();
  }

  #ask(): void {
    const { stage, line } = { stage: this.#stage, line: this.#stage.pick(this.#lines()) };
    if (line === undefined || line.isBusy) return;
    const topic = stage.pick(TOPICS);
    const timeoutMs = 20 + stage.below(1_500);
    const key = stage.payload("x");
    const cache = stage.chance(0.5)
      ? { cacheKey: "k", cacheTtlMs: 1 + stage.below(600) }
      : undefined;
    const ask = this.book.ask(key, topic, timeoutMs, cache);
    const frame = { op: "request", topic, payload: payloadBytes(key), timeoutMs, ...cache };
    line.ask(frame as Asking, {
      withinMs: timeoutMs,
      arrived: () => this.book.arrived(ask, line),
      answered: (answer, mark) => this.#answered(ask, answer, mark),
      unanswered: () => {
        ask.isGone = true;
      },
    });
  }

  #answered(ask: Ask, answer: Answer, mark: Mark): void {
    if (answer.op === "ok") {
      const payload = payloadText(answer["payload"]);
      if (answer["cached"] === true) this.book.onCached(ask, payload, mark.at);
      else this.book.onReply(ask, payload, mark.at);
    } else {
      this.book.onFailed(ask, String(answer["code"]), String(answer["text"]), mark.at);
    }
  }

  #respond(line: NativeLine, group: string | undefined): void {
    const credit = 1 + this.#stage.below(4);
    let responder: Responder | undefined;
    line.onOver.push(() => {
      if (responder !== undefined) this.book.left(responder);
      this.#open = this.#open.filter((open) => open.line !== line);
    });
    const frame = { op: "respond", filter: "svc/#", credit } as const;
    line.ask(group === undefined ? frame : { ...frame, group }, {
      withinMs: 0,
      arrived: () => {
        const name = `${line.clientId} ${group ?? "alone"}`;
        const fields = {
          ...{ name, filter: "svc/#", group, credit },
          ...{ hasRoom: () => line.hasRoom, isBlocked: () => line.isBlocked },
        };
        responder = this.book.joined(fields);
      },
      answered: ({ op, sub }) => {
        assert.equal(op, "ok");
        if (responder !== undefined) this.#listen(line, responder, sub as number);
      },
    });
  }

  #listen(line: NativeLine, responder: Responder, sub: number): void {
    responder.isOpen = true;
    const credit = new Credit(line, sub, (add) => {
      responder.credit += add;
    });
    this.#credits.add(credit);
    line.onOver.push(() => this.#credits.delete(credit));
    line.open(sub, {
      written: (frame) => this.#given(responder, frame),
      read: (frame) => {
        if (frame.op !== "request") return;
        credit.take(1);
        const key = payloadText(frame.payload);
        this.#open.push({ line, number: frame.request, key });
      },
    });
  }

  #given(responder: Responder, frame: ServerFrame): void {
    assert.ok(frame.op === "request", frame.op);
    this.book.given(responder, payloadText(frame.payload), frame.topic, frame.deadlineMs);
  }

  #replySome(): void {
    const index = this.#stage.below(this.#open.length);
    const [open] = this.#open.splice(index, 1);
    // Some are never answered.
    if (open !== undefined && !this.#stage.chance(0.15)) this.#reply(open);
  }

  #reply({ line, number, key }: Open): void {
    if (line.isOver) return;
    const isError = this.#stage.chance(0.15);
    const text = this.#stage.payload("y");
    const content = isError ? { error: text } : { payload: payloadBytes(text) };
    let reply: Reply | undefined;
    line.ask(
      { op: "reply", request: number, ...content },
      {
        withinMs: 0,
        arrived: () => {
          reply = this.book.replied(key, text, isError, line);
        },
        answered: (answer) => {
          if (reply === undefined) return;
          if (answer.op === "ok") this.book.taken(reply);
          else this.book.refused(reply, String(answer["code"]));
        },
      },
    );
    if (!this.#stage.chance(0.1)) return;
    const again = (answer: Answer): void =>
      assert.equal(answer["code"], "not-found", `${key} was answered twice`);
    line.ask({ op: "reply", request: number }, { answered: again });
  }
}
