/**
 * Messages to several destinations: routed by native clients, and by a rule from what native and MQTT clients publish. After whatever happens each
 * of them is in all durable destinations or in none, and in all when it was acknowledged.
 */
import assert from "node:assert/strict";
import type { QoS } from "../../src/broker/message.ts";
import { EVENTS, type EventsWork } from "./events-work.ts";
import type { Ledger } from "./ledger.ts";
import type { Answer, Asking, NativeLine } from "./native-line.ts";
import type { Interest } from "./session-part.ts";
import { payloadBytes, type Stage, type Step } from "./stage.ts";
import { CAPTURED, KEPT, type StreamWork } from "./stream-work.ts";
import type { Work } from "./work.ts";

/** First level of the topics that the rule is for. */
export const RULED = "rule";
/** Where it sends them. */
export const RULE_TO = [
  { kind: "stream", name: KEPT },
  { kind: "queue", name: "work" },
] as const;

type Place = "kept" | "captured" | "work";

interface Routed {
  readonly payload: string;
  readonly places: readonly Place[];
  readonly messageId: string | undefined;
  /** It may have been taken several times. */
  readonly mayRepeat: boolean;
  arrivals: number;
  isAcknowledged: boolean;
}

const TO: Readonly<Record<Place, string>> = {
  kept: `stream:${KEPT}`,
  captured: `stream:${CAPTURED}`,
  work: "queue:work",
};

export class RoutesWork implements Work {
  readonly steps: readonly Step[];
  /** Of what is published for the rule by MQTT clients. */
  readonly interest: Interest;
  readonly #stage: Stage;
  readonly #lines: () => readonly NativeLine[];
  readonly #queueLedger: Ledger;
  readonly #streamLedgers: readonly Ledger[];
  readonly #streams: StreamWork;
  readonly #events: EventsWork;
  readonly #all = new Map<string, Routed>();
  readonly #unanswered: Routed[] = [];

  constructor(
    stage: Stage,
    lines: () => readonly NativeLine[],
    queueLedger: Ledger,
    streamLedgers: readonly Ledger[],
    streams: StreamWork,
    events: EventsWork,
  ) {
    this.#stage = stage;
    this.#lines = lines;
    this.#queueLedger = queueLedger;
    this.#streamLedgers = streamLedgers;
    this.#streams = streams;
    this.#events = events;
    this.steps = [
      [6, "native-route", () => this.#route()],
      [3, "native-rule", () => this.#publish()],
    ];
    this.interest = {
      offered: (payload, _topic, qos) => this.#offeredByMqtt(payload, qos),
      acknowledged: (payload) => this.#acknowledged(payload),
    };
  }

  get routed(): number {
    return this.#all.size;
  }

  onDial(): void {
    // Nothing is delivered to it.
  }

  onCrash(): void {
    // What is not acknowledged may be there or not.
  }

  onJudged(): void {
    // It is judged where it arrives.
  }

  drain(): void {
    for (const routed of this.#unanswered.splice(0)) {
      const line = this.#stage.pick(this.#lines());
      if (line === undefined) this.#unanswered.push(routed);
      else this.#offer(line, routed, undefined);
    }
  }

  check(): void {
    const kept = this.#streams.kept.counts();
    for (const { payload, places, isAcknowledged, mayRepeat } of this.#all.values()) {
      const there = places.filter((place) => this.#isThere(payload, place, kept));
      const what = `${payload} is in ${there.join(" ")} of ${places.join(" ")}`;
      const isWhole = there.length === places.length;
      assert.ok(isWhole || (there.length === 0 && !isAcknowledged), what);
      if (!mayRepeat) assert.ok((kept.get(payload) ?? 0) <= 1, `${payload} is in ${KEPT} twice`);
    }
  }

  #isThere(payload: string, place: Place, kept: ReadonlyMap<string, number>): boolean {
    if (place === "kept") return kept.has(payload);
    if (place === "work") return this.#queueLedger.wasSeen(payload);
    return this.#streamLedgers.every((ledger) => ledger.wasSeen(payload));
  }

  #enter(routed: Routed): void {
    this.#all.set(routed.payload, routed);
  }

  /** It may come out from now on. */
  #offered({ payload, places, mayRepeat }: Routed): void {
    if (places.includes("work")) this.#queueLedger.offer(payload, mayRepeat);
    if (!places.includes("captured")) return;
    for (const ledger of this.#streamLedgers) ledger.offer(payload, mayRepeat);
  }

  #acknowledged(payload: string): void {
    const routed = this.#all.get(payload);
    if (routed === undefined) return;
    routed.isAcknowledged = true;
    for (const ledger of [this.#queueLedger, ...this.#streamLedgers]) ledger.acknowledged(payload);
  }

  #refused({ payload }: Routed): void {
    for (const ledger of [this.#queueLedger, ...this.#streamLedgers]) ledger.refused(payload);
  }

  #offeredByMqtt(payload: string, qos: QoS): void {
    const mayRepeat = qos === 1;
    const routed: Routed = {
      payload,
      places: ["kept", "work"],
      messageId: undefined,
      mayRepeat,
      arrivals: 1,
      isAcknowledged: false,
    };
    this.#enter(routed);
    this.#offered(routed);
  }

  #route(): void {
    const stage = this.#stage;
    const line = stage.pick(this.#lines());
    if (line === undefined || line.isBusy) return;
    const again = stage.chance(0.5) ? this.#unanswered.shift() : undefined;
    if (again !== undefined) {
      this.#offer(line, again, undefined);
      return;
    }
    const payload = stage.payload("o");
    const all: readonly Place[] = ["kept", "captured", "work"];
    const left = stage.pick(all);
    const messageId = stage.chance(0.5) ? payload : undefined;
    const routed: Routed = {
      payload,
      places: stage.chance(0.5) ? all : all.filter((place) => place !== left),
      messageId,
      mayRepeat: false,
      arrivals: 0,
      isAcknowledged: false,
    };
    this.#enter(routed);
    // Events are not told by identifiers: what is sent again would come again.
    const hasEvent = messageId === undefined && stage.chance(0.5);
    this.#offer(line, routed, hasEvent ? `${EVENTS}/${stage.below(3)}` : undefined);
  }

  #offer(line: NativeLine, routed: Routed, event: string | undefined): void {
    const { payload, places, messageId } = routed;
    const to = places.map((place) => TO[place]);
    if (event !== undefined) to.splice(this.#stage.below(to.length), 0, `event:${event}`);
    const frame = { op: "route", to: to.join(";"), payload: payloadBytes(payload) };
    const id = messageId === undefined ? {} : { messageId };
    line.ask({ ...frame, ...id } as Asking, {
      arrived: () => {
        routed.arrivals++;
        this.#offered(routed);
        if (event !== undefined) this.#events.arrivedBy(line, payload, event, 1);
      },
      answered: (answer) => this.#onAnswer(routed, answer, to),
      unanswered: () => {
        if (messageId !== undefined) this.#unanswered.push(routed);
      },
    });
  }

  #onAnswer(routed: Routed, answer: Answer, to: readonly string[]): void {
    if (answer.op === "error") {
      assert.equal(answer["code"], "held", JSON.stringify(answer));
      if (routed.arrivals === 1) this.#refused(routed);
      return;
    }
    const parts = answer["parts"] as readonly { readonly to: string; duplicate?: boolean }[];
    assert.deepEqual(
      parts.map((part) => part.to),
      to,
    );
    const duplicates = parts.filter(({ duplicate }) => duplicate === true).length;
    if (routed.arrivals === 1) assert.equal(duplicates, 0, `${routed.payload} is a duplicate`);
    this.#acknowledged(routed.payload);
  }

  #publish(): void {
    const line = this.#stage.pick(this.#lines());
    if (line === undefined || line.isBusy) return;
    const payload = this.#stage.payload("o");
    const routed: Routed = {
      payload,
      places: ["kept", "work"],
      messageId: undefined,
      mayRepeat: false,
      arrivals: 0,
      isAcknowledged: false,
    };
    this.#enter(routed);
    const topic = `${RULED}/${this.#stage.below(3)}`;
    line.ask({ op: "publish", topic, payload: payloadBytes(payload) } as Asking, {
      arrived: () => {
        routed.arrivals++;
        this.#offered(routed);
      },
      answered: (answer) => {
        if (answer.op === "ok") this.#acknowledged(payload);
        else this.#refused(routed);
      },
    });
  }
}
