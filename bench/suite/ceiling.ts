import { forwarder } from "../peers/forwarder.ts";
import { runSuite, type SuiteReport } from "./suite.ts";
import { SUITE_SCENARIOS, type SuiteScenario } from "./suite-scenario.ts";
import { suiteText } from "./suite-text.ts";

const ECHOED = [
  "fan-in",
  "fan-in-batched",
  "fan-out-batched",
  "pairs",
  "pairs-batched",
  "qos1-nothing",
];

/**
 * The compiled load generator's ceiling: publishers against a sink that only reads, and scenarios through the trivial forwarder as
 * an echo. One run each.
 */
export async function runCeiling(options: {
  readonly seconds: number;
  readonly dataFolder: string;
  readonly onProgress: (line: string) => void;
}): Promise<{ readonly report: SuiteReport; readonly text: string }> {
  const { seconds, dataFolder, onProgress } = options;
  const echoes = SUITE_SCENARIOS.filter(({ name }) => ECHOED.includes(name));
  const scenarios = [...echoes, ...echoes.flatMap(sinkOf)].map((scenario) => ({
    ...scenario,
    peers: [forwarder.name as SuiteScenario["peers"][number]],
  }));
  const what = { rounds: 1, seconds, minutesMax: Number.POSITIVE_INFINITY };
  const report = await runSuite({
    ...what,
    scenarios,
    peers: [forwarder],
    dataFolder,
    onProgress,
  });
  return { report, text: suiteText(report) };
}

/** The same publishers without subscribers: what they write is read and forgotten. */
function sinkOf(scenario: SuiteScenario): SuiteScenario[] {
  const { pubs = 0, topics = 1, batch = 1 } = scenario.measure as Record<string, number>;
  if (scenario.qos > 0 || scenario.measure["credit"] !== undefined) return [];
  const title = `${scenario.title}; a sink in place of subscribers`;
  const name = `${scenario.name}-sink`;
  return [{ ...scenario, name, title, copies: 0, measure: { pubs, topics, batch } }];
}
