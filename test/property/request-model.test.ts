/** Requests, their responders of all protocols and cached replies, against a naive model of them (test/support/request-model.ts). */
import { test } from "node:test";
import fc from "fast-check";
import { modelRuns } from "../support/model-runs.ts";
import type { RequestModel } from "../support/request-model.ts";
import { REQUESTERS, RESPONDERS, RequestWorld } from "../support/request-world.ts";

/** Nothing decides whether a step is possible: each does nothing where it is not. */
type Known = Pick<RequestModel, "waiting">;

class Step implements fc.Command<Known, RequestWorld> {
  readonly #name: string;
  readonly #run: (world: RequestWorld) => void;

  constructor(name: string, run: (world: RequestWorld) => void) {
    this.#name = name;
    this.#run = run;
  }

  check(): boolean {
    return true;
  }

  run(_known: Known, world: RequestWorld): void {
    this.#run(world);
    world.compare();
  }

  toString(): string {
    return this.#name;
  }
}

const requester = fc.nat(REQUESTERS - 1);
const responder = fc.nat(RESPONDERS - 1);
const filter = fc.constantFrom("svc/a", "svc/a", "svc/+", "cmd/d/+");
const text = fc
  .tuple(fc.nat(99), fc.constantFrom(0, 700, 1_400))
  .map(([n, length]) => `a${n}${"x".repeat(length)}`);

const ask = fc.record({
  topic: fc.constantFrom(
    "svc/a",
    "svc/a",
    "svc/a",
    "svc/b",
    "cmd/d/{requestId}",
    "nobody/here",
    "svc/#",
    "$svc/a",
  ),
  timeoutMs: fc.constantFrom(1, 1_000, 5_000, 60_000),
  cacheKey: fc.constantFrom(undefined, "k1", "k2", "k3"),
  cacheTtlMs: fc.constantFrom(0, 1_000, 20_000),
});

const asking = fc
  .tuple(requester, ask)
  .map(
    ([who, step]) =>
      new Step(`ask by ${who} ${JSON.stringify(step)}`, (world) => world.ask(who, step)),
  );
/** The same requester asks several times: it comes to what it may have under way. */
const askingOften = fc.tuple(requester, fc.integer({ min: 3, max: 5 })).map(
  ([who, times]) =>
    new Step(`${who} asks ${times} times`, (world) => {
      const often = { topic: "svc/a", timeoutMs: 60_000, cacheKey: undefined, cacheTtlMs: 0 };
      for (let i = 0; i < times; i++) world.ask(who, often);
    }),
);
const askingKnown = fc
  .oneof(fc.constant(0), fc.nat(20))
  .map((pick) => new Step(`ask for what is known ${pick}`, (world) => world.askKnown(pick)));
/** More replies than there is room for, nearly as large as one may be. */
const largest = fc.nat(99).map((n) => `a${n}${"x".repeat(800)}`);
const filling = fc
  .tuple(requester, fc.nat(9), fc.integer({ min: 6, max: 12 }), largest)
  .map(
    ([who, from, count, said]) =>
      new Step(`${who} fills ${from}+${count} with ${said.length} bytes`, (world) =>
        world.fill(who, from, count, said),
      ),
  );
const ending = fc
  .tuple(fc.nat(20), fc.constantFrom(0, 0, 1))
  .map(
    ([pick, earlyMs]) =>
      new Step(`advance to the end of ${pick}, less ${earlyMs}`, (world) =>
        world.advanceToEnd(pick, earlyMs),
      ),
  );
const answering = fc
  .tuple(fc.nat(1_000), text, fc.constantFrom(undefined, undefined, undefined, "broken"))
  .map(
    ([pick, said, error]) =>
      new Step(`answer ${pick} with ${said.length} bytes ${error ?? ""}`, (world) =>
        world.answer(pick, said, error),
      ),
  );
const responding = fc
  .tuple(responder, filter, fc.boolean(), fc.constantFrom(1, 2, 10))
  .map(
    ([who, what, isShared, credit]) =>
      new Step(`${who} answers ${isShared ? "in a group " : ""}${what} ${credit}`, (world) =>
        world.respond(who, what, isShared, credit),
      ),
  );

const steps: fc.Arbitrary<Step>[] = [
  ...[asking, asking, asking, asking, answering, answering, answering, responding, responding],
  ...[askingOften, askingKnown, askingKnown, filling, filling, ending],
  responder.map((who) => new Step(`${who} answers no more`, (world) => world.stopResponding(who))),
  fc
    .tuple(responder, fc.integer({ min: 1, max: 4 }))
    .map(([who, add]) => new Step(`${add} more for ${who}`, (world) => world.addCredit(who, add))),
  fc
    .tuple(responder, fc.boolean())
    .map(
      ([who, hasRoom]) =>
        new Step(`${hasRoom ? "" : "no "}room at ${who}`, (world) => world.setRoom(who, hasRoom)),
    ),
  responder.map((who) => new Step(`responder ${who} is gone`, (world) => world.dropResponder(who))),
  requester.map((who) => new Step(`requester ${who} is gone`, (world) => world.dropRequester(who))),
  fc
    .constantFrom(1, 999, 1_000, 5_000, 10_000)
    .map((ms) => new Step(`advance ${ms}`, (world) => world.advance(ms))),
  fc.constant(0).map(() => new Step("crash", (world) => world.crash())),
];

test("A request has one reply or one failure, whoever answers, however often and late, whoever goes and whenever the broker crashes.", () => {
  fc.assert(
    fc.property(fc.commands(steps, { maxCommands: 80, size: "max" }), (commands) => {
      const world = new RequestWorld();
      fc.modelRun(() => ({ model: world.model, real: world }), commands);
      world.advance(60_000);
      world.compare();
    }),
    modelRuns(250),
  );
});
