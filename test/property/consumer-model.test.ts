/** Durable consumers of a stream, over the native protocol, against a naive model of them (test/support/consumer-model.ts). */
import { test } from "node:test";
import fc from "fast-check";
import type { Start } from "../../src/native/frame.ts";
import type { ConsumerModel } from "../support/consumer-model.ts";
import type { ModelSub } from "../support/consumer-model-state.ts";
import { CLIENTS, ConsumerWorld, type ConsumeStep } from "../support/consumer-world.ts";
import { modelRuns } from "../support/model-runs.ts";

/** What decides whether a step is possible. */
type Known = Pick<ConsumerModel, "subs" | "state">;

/** One thing that happens. A number picks among what there is. */
class Step implements fc.Command<Known, ConsumerWorld> {
  readonly #name: string;
  readonly #isPossible: (known: Known) => boolean;
  readonly #run: (world: ConsumerWorld) => void;

  constructor(
    name: string,
    run: (world: ConsumerWorld) => void,
    isPossible: (known: Known) => boolean = () => true,
  ) {
    this.#name = name;
    this.#run = run;
    this.#isPossible = isPossible;
  }

  check(known: Readonly<Known>): boolean {
    return this.#isPossible(known);
  }

  run(_known: Known, world: ConsumerWorld): void {
    this.#run(world);
    world.compare();
  }

  toString(): string {
    return this.#name;
  }
}

const hasSubs = ({ subs }: Known): boolean => subs.size > 0;
const hasConsumers = ({ state }: Known): boolean => state.consumers.size > 0;

function pick<T>(items: readonly T[], index: number): T {
  const item = items[index % items.length];
  if (item === undefined) throw new Error("there is nothing to pick");
  return item;
}

/** Some of what a sub was handed; now and then something that it was not. */
function pickSequences({ delivered }: ModelSub, picks: readonly number[]): number[] {
  const known = [...delivered.keys()];
  return [...new Set(picks.map((one) => (one < 50 && known.length > 0 ? pick(known, one) : one)))];
}

const client = fc.nat(CLIENTS - 1);
const index = fc.nat(100);
const ms = fc.constantFrom(1, 499, 1_000, 2_000, 3_500, 10_000);

const start: fc.Arbitrary<Start> = fc.oneof(
  fc.constantFrom<Start>({ at: "first" }, { at: "last" }, { at: "new" }),
  fc.record({ sequence: fc.nat(30) }),
  fc.record({ agoMs: ms }),
);

const consume: fc.Arbitrary<ConsumeStep> = fc.record({
  name: fc.constantFrom("a", "a", "b"),
  from: start,
  credit: fc.constantFrom(0, 1, 3, 10),
  isGroup: fc.boolean(),
  filter: fc.constantFrom(undefined, undefined, "t/1"),
  ackWaitMs: fc.constantFrom(1_000, 3_500),
  unackedMax: fc.constantFrom(100, 100, 1, 3),
  deliveriesMax: fc.constantFrom(0, 0, 1, 2, 3),
});

const steps: readonly fc.Arbitrary<Step>[] = [
  ...Array.from({ length: 3 }, () =>
    fc
      .tuple(
        fc.integer({ min: 1, max: 4 }),
        fc.nat(1),
        fc.constantFrom(undefined, undefined, undefined, 2_000),
      )
      .map(
        ([count, topic, expiryMs]) =>
          new Step(`append ${count} t/${topic} ${expiryMs ?? ""}`, (world) =>
            world.append(count, topic, expiryMs),
          ),
      ),
  ),
  ...Array.from({ length: 2 }, () =>
    fc
      .tuple(client, consume)
      .map(
        ([who, step]) =>
          new Step(`consume by ${who} ${JSON.stringify(step)}`, (world) =>
            world.consume(who, step),
          ),
      ),
  ),
  fc
    .tuple(client, ms, consume)
    .map(
      ([who, ago, step]) =>
        new Step(
          `consume by ${who} from ${ago} ms ago by the wall ${JSON.stringify(step)}`,
          (world) =>
            world.consume(who, { ...step, from: { timeAt: Math.max(0, world.node.wallMs - ago) } }),
        ),
    ),
  fc
    .tuple(index, fc.integer({ min: 1, max: 5 }))
    .map(
      ([which, add]) =>
        new Step(
          `credit ${which} ${add}`,
          (world) => world.addCredit(pick(world.subs, which), add),
          hasSubs,
        ),
    ),
  ...Array.from({ length: 2 }, () =>
    fc
      .tuple(
        index,
        fc.array(fc.nat(52), { maxLength: 4 }),
        fc.option(fc.nat(30), { nil: undefined }),
      )
      .map(
        ([which, picks, upTo]) =>
          new Step(
            `ack ${which} ${picks.join()} ${upTo ?? ""}`,
            (world) => {
              const sub = pick(world.subs, which);
              world.settle(sub, "ack", pickSequences(sub, picks), upTo, 0);
            },
            hasSubs,
          ),
      ),
  ),
  fc.tuple(index, fc.array(fc.nat(52), { maxLength: 3 }), fc.constantFrom(0, 500, 2_000)).map(
    ([which, picks, delayMs]) =>
      new Step(
        `reject ${which} ${picks.join()} for ${delayMs}`,
        (world) => {
          const sub = pick(world.subs, which);
          world.settle(sub, "reject", pickSequences(sub, picks), undefined, delayMs);
        },
        hasSubs,
      ),
  ),
  index.map(
    (which) =>
      new Step(
        `unsubscribe ${which}`,
        (world) => world.unsubscribe(pick(world.subs, which)),
        hasSubs,
      ),
  ),
  client.map((who) => new Step(`drop ${who}`, (world) => world.drop(who))),
  index.map(
    (which) =>
      new Step(
        `delete ${which}`,
        (world) => {
          if (which < 30) world.delete(pick(world.model.consumers, which));
        },
        hasConsumers,
      ),
  ),
  fc
    .option(fc.nat(30), { nil: undefined })
    .map((before) => new Step(`purge ${before ?? "all"}`, (world) => world.purge(before))),
  fc.constant(0).map(() => new Step("seal", (world) => world.seal())),
  fc.constant(0).map(() => new Step("flush", (world) => world.flush())),
  ...Array.from({ length: 3 }, () =>
    fc.constant(0).map(() => new Step("flush all", (world) => world.flushAll())),
  ),
  fc
    .constantFrom(0, 0, 500, 2_000, 60_000)
    .map((offMs) => new Step(`crash for ${offMs}`, (world) => world.crash(offMs))),
  ...Array.from({ length: 3 }, () =>
    ms.map((passed) => new Step(`advance ${passed}`, (world) => world.advance(passed))),
  ),
  fc
    .tuple(fc.constantFrom(0, 0, -3_600_000, -1_500, 1_500, 3_600_000), fc.boolean())
    .map(
      ([stepMs, isTrusted]) =>
        new Step(`wall ${stepMs} ${isTrusted ? "" : "not "}believed`, (world) =>
          world.setWall(stepMs, isTrusted),
        ),
    ),
];

const retention = fc.constantFrom(
  { messagesMax: undefined, ageMaxMs: undefined, isUntilDelivered: true },
  { messagesMax: undefined, ageMaxMs: undefined, isUntilDelivered: true },
  { messagesMax: undefined, ageMaxMs: undefined, isUntilDelivered: false },
  { messagesMax: 8, ageMaxMs: undefined, isUntilDelivered: true },
  { messagesMax: undefined, ageMaxMs: 5_000, isUntilDelivered: false },
);

test("Durable consumers do what lists would do, whatever is asked and whenever the broker crashes or the clock jumps.", () => {
  fc.assert(
    fc.property(
      retention,
      fc.commands([...steps], { maxCommands: 60, size: "max" }),
      (kept, commands) => {
        const world = new ConsumerWorld(kept);
        fc.modelRun(() => ({ model: world.model, real: world }), commands);
        world.drain();
      },
    ),
    modelRuns(200),
  );
});
