/** What settings are made of: sizes, durations, counts, names, URLs, secrets and file paths, each with its limits. */
import { z } from "zod";
import { endpointOf } from "./config-address.ts";
import { bytesOf, durationOf, durationText, sizeText } from "./config-units.ts";

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
export const TiB = 1024 * GiB;
export const SECOND = 1_000;
export const HOUR = 3_600 * SECOND;

/** Smallest and largest value that is taken. */
interface Limits {
  readonly min: number;
  readonly max: number;
}

/** A whole number read from a number or from text such as `8MiB`, within limits. */
export function measure(
  { min, max }: Limits,
  expected: string,
  read: (value: number | string) => number | undefined,
  show: (value: number) => string,
) {
  return z
    .union([z.number(), z.string()], { error: `expected ${expected}` })
    .transform((input, context): number => {
      const value = read(input);
      if (value !== undefined && value >= min && value <= max) return value;
      const message =
        value === undefined ? `expected ${expected}` : `expected ${show(min)} to ${show(max)}`;
      context.issues.push({ code: "custom", message, input });
      return z.NEVER;
    });
}

/** A number of bytes, also as text such as `64KiB`. */
export function size(preset: string, limits: Limits, description: string) {
  return measure(limits, "bytes or a size such as 64KiB", bytesOf, sizeText)
    .prefault(preset)
    .meta({ description, minimum: limits.min, maximum: limits.max });
}

/** A duration in milliseconds, also as text such as `30s`. */
export function milliseconds(preset: string, limits: Limits, description: string) {
  const read = (value: number | string): number | undefined => durationOf(value, 1);
  return measure(limits, "milliseconds or a duration such as 30s", read, durationText)
    .prefault(preset)
    .meta({ description, minimum: limits.min, maximum: limits.max });
}

/** A number of bytes that need not be given. */
export function optionalSize(limits: Limits, description: string) {
  return measure(limits, "bytes or a size such as 64KiB", bytesOf, sizeText)
    .optional()
    .meta({ description, minimum: limits.min, maximum: limits.max });
}

/** A duration in milliseconds that need not be given. */
export function optionalMilliseconds(limits: Limits, description: string) {
  const read = (value: number | string): number | undefined => durationOf(value, 1);
  return measure(limits, "milliseconds or a duration such as 30s", read, durationText)
    .optional()
    .meta({ description, minimum: limits.min, maximum: limits.max });
}

/** A duration in seconds, also as text such as `1h`. */
export function seconds(preset: string | number, limits: Limits, description: string) {
  const read = (value: number | string): number | undefined => durationOf(value, 1_000);
  return measure(limits, "seconds or a duration such as 1h", read, (value) => `${value}s`)
    .prefault(preset)
    .meta({ description, minimum: limits.min, maximum: limits.max });
}

/** A whole number within limits. */
export function count(preset: number, { min, max }: Limits, description: string) {
  return z
    .int({ error: "expected a whole number" })
    .min(min, { error: `expected ${min} to ${max}` })
    .max(max, { error: `expected ${min} to ${max}` })
    .default(preset)
    .meta({ description });
}

/** A name that is also a level of a topic, a token of a NATS subject and a part of a record id. */
export function name(description: string) {
  return z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, {
      error: "expected 1 to 64 letters, digits, - or _, the first a letter or digit",
    })
    .meta({ description });
}

/** A URL with one of these schemes, as text; without a port it has the default one. */
export function url(schemes: readonly string[], defaultPort: number, description: string) {
  return z
    .string()
    .superRefine((input, context) => {
      const endpoint = endpointOf(input, schemes, defaultPort);
      if ("reason" in endpoint) context.addIssue({ code: "custom", message: endpoint.reason });
    })
    .meta({ description });
}

/** What must not be shown: optional, and write-only in the JSON Schema. */
export const secret = (description: string) =>
  z.string().min(1).optional().meta({ description, writeOnly: true });

/** Path of a file that is read. */
export const filePath = (description: string) => z.string().min(1).meta({ description });
