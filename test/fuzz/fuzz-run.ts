import { Chance } from "./chance.ts";
import { CoreTarget } from "./core-target.ts";
import { collectedMemory, type Memory } from "./memory.ts";
import { NativeTarget } from "./native-target.ts";
import { runRecords } from "./record-target.ts";
import { SocketTarget } from "./socket-target.ts";

/** Of all inputs, one in so many goes to records on disk. */
const RECORDS_ONE_IN = 50;
/** Of all others, one in so many speaks the native protocol. */
const NATIVE_ONE_IN = 4;
/** Memory is measured from here on: the code is compiled, tables have their size. */
const WARM_UP_INPUTS = 20_000;
/** How often it is said how far it is. */
const SAID_EVERY = 100_000;
/** An input that is wrong: what to give `--only` to see it again. */
export class FuzzFailure extends Error {
  constructor(target: string, seed: number, cause: unknown) {
    super(`an input of the ${target} is not survived; see it again with --only ${target}:${seed}`, {
      cause,
    });
  }
}

export interface FuzzOptions {
  readonly inputs: number;
  readonly seed: number;
  /** Of the inputs, how many go through real sockets. */
  readonly socketInputs: number;
  readonly onProgress: (line: string) => void;
}

/** What a run says at its end. */
export interface FuzzReport {
  readonly inputs: number;
  readonly inputsPerSecond: number;
  /** Inputs that came to the decoder of each packet. */
  readonly reached: object;
  readonly decoded: object;
  readonly outcomes: object;
  readonly ways: object;
  readonly recordInputs: number;
  /** Of the native protocol: inputs, frames by op, answers, ways in which they were spoiled. */
  readonly native: {
    readonly inputs: number;
    readonly ops: object;
    readonly outcomes: object;
    readonly ways: object;
  };
  readonly sockets: object;
  /** This process: after the warm-up and at the end, garbage collected; bytes. */
  readonly memory: { readonly before: Memory; readonly after: Memory };
  /** The broker's own process, as the sockets saw it; bytes. */
  readonly brokerMemory: { readonly before: number; readonly after: number };
}

/** All targets. @throws FuzzFailure */
export async function runFuzz(options: FuzzOptions): Promise<FuzzReport> {
  const root = new Chance(options.seed);
  const sockets = await runSockets(options, root.seed());
  const started = performance.now();
  const core = new CoreTarget();
  const native = new NativeTarget();
  const inProcess = Math.max(0, options.inputs - sockets.inputs);
  let before = await collectedMemory();
  let recordInputs = 0;
  let nativeInputs = 0;
  for (let i = 0; i < inProcess; i++) {
    const seed = root.seed();
    if (i % RECORDS_ONE_IN === RECORDS_ONE_IN - 1) {
      recordInputs++;
      attempt("records", seed, () => runRecords(new Chance(seed)));
    } else if (i % NATIVE_ONE_IN === 0) {
      nativeInputs++;
      attempt("native", seed, () => native.run(new Chance(seed)));
    } else {
      attempt("core", seed, () => core.run(new Chance(seed)));
    }
    if (i === WARM_UP_INPUTS) before = await collectedMemory();
    if ((i + 1) % SAID_EVERY === 0) options.onProgress(`${i + 1} inputs`);
  }
  attempt("core", options.seed, () => core.finish());
  attempt("native", options.seed, () => native.finish());
  const seconds = (performance.now() - started) / 1_000;
  return {
    inputs: inProcess + sockets.inputs,
    inputsPerSecond: Math.round(inProcess / seconds),
    reached: core.reached,
    decoded: core.decoded,
    outcomes: core.outcomes,
    ways: core.ways,
    recordInputs,
    native: {
      inputs: nativeInputs,
      ops: native.ops,
      outcomes: native.outcomes,
      ways: native.ways,
    },
    sockets: sockets.kinds,
    memory: { before, after: await collectedMemory() },
    brokerMemory: sockets.memory,
  };
}

/** One input once more, as `FuzzFailure` names it; for the core and the native protocol it may need those before it. */
export function runOnly(target: string, seed: number): void {
  if (target === "records") runRecords(new Chance(seed));
  else if (target === "native") new NativeTarget().run(new Chance(seed));
  else new CoreTarget().run(new Chance(seed));
}

function attempt(target: string, seed: number, act: () => void): void {
  try {
    act();
  } catch (error) {
    throw new FuzzFailure(target, seed, error);
  }
}

async function runSockets(
  { socketInputs, onProgress }: FuzzOptions,
  seed: number,
): Promise<{
  inputs: number;
  kinds: object;
  memory: { readonly before: number; readonly after: number };
}> {
  if (socketInputs === 0) return { inputs: 0, kinds: {}, memory: { before: 0, after: 0 } };
  const cleanup: (() => Promise<void> | void)[] = [];
  const target = await SocketTarget.start({ after: (callback) => cleanup.unshift(callback) });
  try {
    const chance = new Chance(seed);
    let inputs = 0;
    let before = target.memoryBytes;
    while (inputs < socketInputs) {
      inputs += await target.runRound(chance);
      // The first half warms it up.
      if (inputs <= socketInputs / 2) before = target.memoryBytes;
    }
    await target.finish();
    onProgress(`${inputs} inputs through sockets`);
    return { inputs, kinds: target.kinds, memory: { before, after: target.memoryBytes } };
  } catch (error) {
    throw new FuzzFailure("sockets", seed, error);
  } finally {
    for (const close of cleanup) await close();
  }
}
