/** Rules between settings of queues, routes and rules, and of these with streams. */
import { z } from "zod";
import {
  type Destination,
  NO_ROUTES,
  parseDestinations,
  type RouteTable,
} from "./broker/destinations.ts";
import type { SettingPath } from "./config-environment.ts";
import { type BrokenRule, list, repeated, text } from "./config-rule.ts";

const outlineSchema = z
  .object({
    streams: list(z.object({ name: text }).catch({ name: undefined })),
    queues: list(
      z
        .object({ name: text, deadLetterQueue: text })
        .catch({ name: undefined, deadLetterQueue: undefined }),
    ),
    routes: list(z.object({ key: text, to: text }).catch({ key: undefined, to: undefined })),
    rules: list(z.object({ to: text }).catch({ to: undefined })),
  })
  .catch({ streams: [], queues: [], routes: [], rules: [] });

export function patternRules(input: Readonly<Record<string, unknown>>): BrokenRule[] {
  const { streams, queues, routes, rules } = outlineSchema.parse(input);
  const broken = [
    ...repeated(
      queues.map(({ name }) => name),
      (index) => ["queues", index, "name"],
    ),
    ...repeated(
      routes.map(({ key }) => key),
      (index) => ["routes", index, "key"],
    ),
  ];
  queues.forEach(({ name, deadLetterQueue }, index) => {
    if (name === undefined || deadLetterQueue !== name) return;
    const reason = "a queue is not its own dead letter queue";
    broken.push({ path: ["queues", index, "deadLetterQueue"], reason });
  });
  const table = new Map<string, readonly Destination[]>();
  routes.forEach(({ key, to }, index) => {
    const destinations = destinationsOf(to, NO_ROUTES, ["routes", index, "to"], broken);
    if (key !== undefined) table.set(key, destinations);
  });
  const known = new Set(streams.map(({ name }) => name));
  rules.forEach(({ to }, index) => {
    const path = ["rules", index, "to"] as const;
    for (const { kind, name } of destinationsOf(to, table, path, broken)) {
      if (kind !== "stream" || known.has(name)) continue;
      broken.push({ path, reason: `stream:${name}: no such stream in the configuration` });
    }
  });
  return broken;
}

function destinationsOf(
  to: string | undefined,
  routes: RouteTable,
  path: SettingPath,
  broken: BrokenRule[],
): readonly Destination[] {
  if (to === undefined) return [];
  const parsed = parseDestinations(to, "event", routes);
  if (!("mistake" in parsed)) return parsed.destinations;
  broken.push({ path, reason: parsed.mistake });
  return [];
}
