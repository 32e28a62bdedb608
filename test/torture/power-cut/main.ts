/**
 * Simulated power cuts on the store. Exits 1 when something acknowledged is lost, or when the control loses nothing.
 *
 *     node --import tsx test/torture/power-cut/main.ts [--points N] [--commits N] [--seed S]
 */
import { parseArgs } from "node:util";
import { canSimulate, type PowerCutResult, simulatePowerCuts } from "./power-cut.ts";

const { values } = parseArgs({
  options: {
    points: { type: "string", default: "150" },
    commits: { type: "string", default: "300" },
    seed: { type: "string", default: `${Date.now() % 1_000_000}` },
  },
});
const seed = Number(values.seed);
const commits = Number(values.commits);
const print = (line: string): boolean => process.stdout.write(`${line}\n`);

function report(name: string, result: PowerCutResult): void {
  const { points, acknowledged, faults } = result;
  print(
    `${name}: ${points} cuts in ${commits} commits of ${acknowledged} messages, ${faults.length} lost`,
  );
  for (const fault of faults.slice(0, 10)) print(`  ${fault}`);
}

if (canSimulate()) {
  print(`seed ${seed}`);
  const points = Number(values.points);
  const store = await simulatePowerCuts({ points, seed, commits, isControl: false });
  report("store", store);
  const control = await simulatePowerCuts({ points, seed, commits, isControl: true });
  report("control without sync of the meta page", control);
  process.exitCode = store.faults.length === 0 && control.faults.length > 0 ? 0 : 1;
} else {
  print("power cuts need Linux and gcc");
  process.exitCode = 2;
}
