/**
 * Simulated power cuts on the store. Exits 1 when something acknowledged is lost, or when the control loses nothing.
 *
 *     node --import tsx test/torture/power-cut/main.ts [--points N] [--commits N] [--kills N] [--seed S]
 */
import { parseArgs } from "node:util";
import { canSimulate, type PowerCutResult, simulatePowerCuts } from "./power-cut.ts";

const { values } = parseArgs({
  options: {
    points: { type: "string", default: "150" },
    commits: { type: "string", default: "300" },
    kills: { type: "string", default: "5" },
    seed: { type: "string", default: `${Date.now() % 1_000_000}` },
  },
});
const seed = Number(values.seed);
const commits = Number(values.commits);
const print = (line: string): boolean => process.stdout.write(`${line}\n`);

function report(name: string, result: PowerCutResult): void {
  const { points, acknowledged, faults } = result;
  print(
    `${name}: ${points} cuts, ${acknowledged} messages acknowledged, ${faults.length} cuts lost some`,
  );
  for (const fault of faults.slice(0, 10)) print(`  ${fault}`);
}

async function run(): Promise<number> {
  const points = Number(values.points);
  const options = { points, seed, commits, isControl: false, isKilledFirst: false };
  const store = await simulatePowerCuts(options);
  report("store", store);
  const killed: string[] = [];
  for (let round = 0; round < Number(values.kills); round++) {
    const result = await simulatePowerCuts({
      ...options,
      points: Math.ceil(points / 5),
      seed: seed + round,
      commits: 1_000_000,
      isKilledFirst: true,
    });
    report(`store, killed and restarted before, round ${round + 1}`, result);
    killed.push(...result.faults);
  }
  const control = await simulatePowerCuts({ ...options, isControl: true });
  report("control without sync of the meta page", control);
  return store.faults.length + killed.length === 0 && control.faults.length > 0 ? 0 : 1;
}

if (canSimulate()) {
  print(`seed ${seed}`);
  process.exitCode = await run();
} else {
  print("power cuts need Linux and gcc");
  process.exitCode = 2;
}
