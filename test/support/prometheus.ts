import type { BrokerProcess } from "./broker-process.ts";

/** A sample as the broker's `/metrics` shows it now, `name{label="value"}`; NaN: it is not there. */
export async function sampleOf(broker: BrokerProcess, sample: string): Promise<number> {
  const text = await (await fetch(`${broker.httpUrl}/metrics`)).text();
  const line = text.split("\n").find((each) => each.startsWith(`${sample} `));
  return Number(line?.slice(sample.length + 1));
}

/** How many network connections were dropped for this reason. */
export const droppedFor = (broker: BrokerProcess, reason: string): Promise<number> =>
  sampleOf(broker, `rillmq_connections_dropped_total{reason="${reason}"}`);
