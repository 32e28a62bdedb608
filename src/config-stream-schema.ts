/** Settings of a stream. */
import { z } from "zod";
import { isTopicFilter } from "./broker/topic.ts";
import { HOUR, KiB, milliseconds, name, size, TiB } from "./config-measures.ts";

/** One stream. */
export const streamSchema = z.strictObject({
  name: name("Names the stream; kept with its records, so renaming starts a new stream."),
  filters: z
    .array(
      z
        .string()
        .refine(isTopicFilter, { error: "not a topic filter" })
        .refine((filter) => !filter.startsWith("$share/"), {
          error: "a stream cannot capture a shared subscription",
        }),
    )
    .min(1, { error: "expected at least one topic filter" })
    .max(64)
    .meta({
      description:
        "Topic filters of the messages it captures. A message goes to the first stream with a match, if any.",
    }),
  maxBytes: size(
    "1GiB",
    { min: 64 * KiB, max: 16 * TiB },
    "How much it may hold on disk, keys and overhead included.",
  ),
  maxMessages: z
    .int({ error: "expected a whole number" })
    .min(1, { error: "expected 1 or more" })
    .optional()
    .meta({ description: "Most messages it may hold; by default only bytes count." }),
  maxAgeMs: milliseconds(
    "0",
    { min: 0, max: 10 * 365 * 24 * HOUR },
    "Older messages are dropped, delivered or not (that is recorded); 0: none for their age.",
  ),
  whenFull: z.enum(["reject", "drop-oldest"]).default("reject").meta({
    description:
      "At `maxBytes` or `maxMessages`: `reject` refuses new messages with reason code 0x97 (a 3.1.1 publisher is held back); `drop-oldest` makes room and records what was dropped.",
  }),
});
