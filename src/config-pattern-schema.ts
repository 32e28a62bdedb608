/** Settings of queues, routes and rules. */
import { z } from "zod";
import { isTopicFilter } from "./broker/topic.ts";
import {
  HOUR,
  KiB,
  milliseconds,
  name,
  optionalMilliseconds,
  optionalSize,
  TiB,
} from "./config-measures.ts";

const capturedFilter = z
  .string()
  .refine(isTopicFilter, { error: "not a topic filter" })
  .refine((filter) => !filter.startsWith("$"), {
    error: "expected a topic filter without $ in front",
  });

export const queueSchema = z.strictObject({
  name: name("Names the queue; kept with its messages, so renaming starts a new queue."),
  filters: z.array(capturedFilter).max(64).default([]).meta({
    description:
      "Topic filters of publishes that go into the queue, each message once, besides to those who subscribe.",
  }),
  deliveriesMax: z
    .int({ error: "expected a whole number" })
    .min(0, { error: "expected 0 to 65535" })
    .max(65_535, { error: "expected 0 to 65535" })
    .optional()
    .meta({
      description:
        "After so many deliveries without ack a message is given up; 0: never. By default `patterns.queueDeliveriesMax`.",
    }),
  deadLetterQueue: name(
    "Where what is given up or has expired goes; by default it is dropped and counted.",
  ).optional(),
  visibilityMs: optionalMilliseconds(
    { min: 1, max: 7 * 24 * HOUR },
    "How long a message is hidden from others once it was received; not for MQTT clients, which have it as long as they are connected. By default `patterns.queueVisibilityMs`.",
  ),
  expiryMs: milliseconds(
    "0",
    { min: 0, max: 10 * 365 * 24 * HOUR },
    "Of messages that name none: expired after so long; 0: never.",
  ),
  maxBytes: optionalSize(
    { min: 64 * KiB, max: 16 * TiB },
    "Most live bytes; beyond it sending is refused. By default `patterns.queueBytesMax`.",
  ),
  maxMessages: z
    .int({ error: "expected a whole number" })
    .min(1, { error: "expected 1 or more" })
    .optional()
    .meta({
      description:
        "Most messages, delayed ones among them; beyond it sending is refused. By default `patterns.queueMessagesMax`.",
    }),
  duplicateWindowMs: optionalMilliseconds(
    { min: 0, max: 24 * HOUR },
    "How long identifiers of messages are remembered. By default `patterns.duplicateWindowMs`.",
  ),
});

const TO_DESCRIPTION =
  "Destinations with `;` between them: `event:TOPIC`, `stream:NAME`, `queue:NAME`, `route:KEY`; what has no kind in front is an event.";

export const routeSchema = z.strictObject({
  key: name("Names the route in `route:KEY`."),
  to: z.string().meta({ description: `${TO_DESCRIPTION} A route cannot name routes.` }),
});

export const ruleSchema = z.strictObject({
  filter: capturedFilter.meta({ description: "Topic filter of publishes that go there too." }),
  to: z.string().meta({ description: TO_DESCRIPTION }),
});
