/** A queue against a naive model of it: a list of messages. A crash loses what was not flushed, in both. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { modelRuns } from "../support/model-runs.ts";
import { QueueBench } from "../support/queue-bench.ts";

const DELIVERIES_MAX = 3;
const DELIVERY_NAMES = 65_536;

interface ModelMessage {
  /** Another one for each time that it was sent or requeued. */
  readonly key: number;
  readonly text: string;
  /** In the order in which messages are handed out; those that are delayed have none yet. */
  order: number | undefined;
  /** Nobody gets it before. */
  hiddenUntil: number;
  count: number;
  isFlushed: boolean;
}

interface State {
  messages: ModelMessage[];
  dead: string[];
  nextOrder: number;
}

/** What somebody was handed. */
interface Handle {
  readonly key: number;
  readonly count: number;
  readonly delivery: number;
}

class Model {
  state: State = { messages: [], dead: [], nextOrder: 0 };
  #flushed: State = structuredClone(this.state);
  #lastKey = 0;

  flush(): void {
    for (const message of this.state.messages) message.isFlushed = true;
    this.#flushed = structuredClone(this.state);
  }

  crash(): void {
    this.state = structuredClone(this.#flushed);
  }

  send(text: string, dueAt: number | undefined): void {
    const order = dueAt === undefined ? this.state.nextOrder++ : undefined;
    const hiddenUntil = dueAt ?? 0;
    const key = ++this.#lastKey;
    this.state.messages.push({ key, text, order, hiddenUntil, count: 0, isFlushed: false });
  }

  receive(max: number, now: number, until: number): { key: number; text: string; count: number }[] {
    const free = this.state.messages
      .filter(({ order, hiddenUntil, isFlushed }) => {
        return order !== undefined && isFlushed && hiddenUntil <= now;
      })
      .sort((a, b) => (a.order ?? 0) - (b.order ?? 0))
      .slice(0, max);
    for (const message of free) {
      message.count++;
      message.hiddenUntil = until;
    }
    return free.map(({ key, text, count }) => ({ key, text, count }));
  }

  /** What a handle stands for; undefined: it is not theirs any more. */
  find({ key, count }: Handle): ModelMessage | undefined {
    return this.state.messages.find((one) => one.key === key && one.count === count);
  }

  settle(message: ModelMessage): void {
    this.state.messages = this.state.messages.filter((one) => one !== message);
  }

  /** Free again, or dead. */
  giveBack(message: ModelMessage): void {
    message.hiddenUntil = 0;
    if (message.count < DELIVERIES_MAX) return;
    this.settle(message);
    this.state.dead.push(message.text);
  }

  /** Everything that is due until then, in the order in which it is due. */
  advance(until: number): void {
    for (;;) {
      const due = this.state.messages
        .filter(({ hiddenUntil }) => hiddenUntil > 0 && hiddenUntil <= until)
        .sort((a, b) => a.hiddenUntil - b.hiddenUntil)[0];
      if (due === undefined) break;
      if (due.order === undefined) {
        due.order = this.state.nextOrder++;
        due.hiddenUntil = 0;
      } else {
        this.giveBack(due);
      }
    }
    this.flush();
  }
}

class Run {
  readonly bench = new QueueBench({ deliveriesMax: DELIVERIES_MAX, deadLetterQueue: "dead" });
  readonly model = new Model();
  readonly #handles: Handle[] = [];
  #sent = 0;

  constructor() {
    this.bench.queue();
    this.bench.queue("dead");
    this.bench.flush();
    this.model.flush();
  }

  send(delayMs: number): void {
    const text = `m${this.#sent++}`;
    assert.ok(this.bench.send(text, delayMs === 0 ? {} : { delayMs }).isTaken);
    this.model.send(text, delayMs === 0 ? undefined : this.bench.ms + delayMs);
  }

  receive(max: number, visibilityMs: number): void {
    const { got } = this.bench.take(max, "q", visibilityMs);
    const expected = this.model.receive(max, this.bench.ms, this.bench.ms + visibilityMs);
    assert.deepEqual(
      got.map(({ text, count }) => ({ text, count })),
      expected.map(({ text, count }) => ({ text, count })),
    );
    expected.forEach(({ key, count }, i) => {
      this.#handles.push({ key, count, delivery: got[i]?.delivery ?? 0 });
    });
  }

  settle(how: "ack" | "reject" | "requeue" | "extend", pick: number, ms: number): void {
    const handle = this.#handles[pick % Math.max(1, this.#handles.length)];
    if (handle === undefined) return;
    assert.equal(handle.delivery % DELIVERY_NAMES, handle.count);
    const { queues, ms: now } = this.bench;
    const queue = this.bench.queue();
    const names = [handle.delivery];
    const message = this.model.find(handle);
    const { expired } =
      how === "ack"
        ? queue.deliveries.ack(names)
        : how === "reject"
          ? queue.deliveries.reject(names, ms)
          : how === "requeue"
            ? queues.requeue(queue, names, queue, 0)
            : queue.deliveries.extend(names, ms + 1);
    assert.equal(expired.length === 0, message !== undefined, `${how} of ${handle.delivery}`);
    if (message === undefined) return;
    if (how === "extend") {
      message.hiddenUntil = now + ms + 1;
    } else if (how === "reject" && (ms === 0 || message.count >= DELIVERIES_MAX)) {
      this.model.giveBack(message);
    } else if (how === "reject") {
      message.hiddenUntil = now + ms;
    } else {
      this.model.settle(message);
      if (how === "requeue") this.model.send(message.text, undefined);
    }
  }

  purge(): void {
    this.bench.queues.purge(this.bench.queue());
    this.model.state.messages = [];
  }

  flush(): void {
    this.bench.flush();
    this.model.flush();
  }

  crash(): void {
    this.bench.crash();
    this.model.crash();
    this.bench.flush();
    this.model.flush();
  }

  advance(ms: number): void {
    this.bench.flush();
    this.model.flush();
    this.bench.advance(ms);
    this.model.advance(this.bench.ms);
  }

  check(): void {
    assert.equal(this.bench.queue().messages, this.model.state.messages.length);
    assert.equal(this.bench.queue("dead").messages, this.model.state.dead.length);
  }

  /** All that is left comes in its order, and nothing else. */
  drain(): void {
    this.advance(1_000_000);
    this.check();
    const dead = this.bench.take(10_000, "dead").texts;
    // Those whose time is over at the same moment come in any order.
    assert.deepEqual(dead.sort(), [...this.model.state.dead].sort());
    const left = [...this.model.state.messages].sort((a, b) => (a.order ?? 0) - (b.order ?? 0));
    assert.deepEqual(
      this.bench.take(10_000).texts,
      left.map(({ text }) => text),
    );
  }
}

const ms = fc.constantFrom(0, 0, 1, 500, 1_000, 2_500, 5_000);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("send"), a: fc.constant(0), b: ms }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("delay"), a: fc.constant(0), b: ms }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("receive"), a: fc.nat(4), b: ms }) },
  ...(["ack", "reject", "requeue", "extend"] as const).map((kind) => ({
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant(kind), a: fc.nat(1_000), b: ms }),
  })),
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("purge"), a: fc.nat(3), b: ms }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("flush"), a: fc.nat(3), b: ms }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("crash"), a: fc.nat(3), b: ms }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("advance"), a: fc.nat(3), b: ms }) },
);

type Step = (run: Run, a: number, b: number) => void;

const STEPS: Readonly<Record<string, Step>> = {
  send: (run) => run.send(0),
  delay: (run, _, b) => run.send(b + 1),
  receive: (run, a, b) => run.receive(a + 1, b + 1),
  ack: (run, a, b) => run.settle("ack", a, b),
  reject: (run, a, b) => run.settle("reject", a, b),
  requeue: (run, a, b) => run.settle("requeue", a, b),
  extend: (run, a, b) => run.settle("extend", a, b),
  purge: (run) => run.purge(),
  flush: (run) => run.flush(),
  crash: (run) => run.crash(),
  advance: (run, _, b) => run.advance(b),
};

test("A queue does what a list of messages would do, whatever is asked and whenever it crashes.", () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 60, size: "max" }), (steps) => {
      const run = new Run();
      for (const one of steps) {
        STEPS[one.kind]?.(run, one.a, one.b);
        run.check();
      }
      run.drain();
    }),
    modelRuns(250),
  );
});
