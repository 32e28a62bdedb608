/** What rules between settings are made of. */
import { z } from "zod";
import type { SettingPath } from "./config-environment.ts";
import { durationOf } from "./config-units.ts";

/** A rule that is broken, and where. */
export interface BrokenRule {
  readonly path: SettingPath;
  readonly reason: string;
}

/** Text, or nothing. */
export const text = z.string().optional().catch(undefined);

/** A duration in milliseconds; what is none counts as the preset. */
export const duration = (preset: number) =>
  z
    .union([z.string(), z.number()])
    .transform((value) => durationOf(value, 1) ?? preset)
    .catch(preset);

/** A list; what is none counts as empty. */
export const list = <Item extends z.ZodType>(item: Item) => z.array(item).catch([]);

/** A rule for each value that was there before. */
export function repeated(
  values: readonly (string | undefined)[],
  pathOf: (index: number) => SettingPath,
): BrokenRule[] {
  const broken: BrokenRule[] = [];
  const seen = new Set<string>();
  values.forEach((value, index) => {
    if (value === undefined) return;
    if (seen.has(value)) broken.push({ path: pathOf(index), reason: `"${value}" is there twice` });
    seen.add(value);
  });
  return broken;
}
