/** The part of the schema that says what of MQTT 5 clients are offered; a part of `mqtt`. */
import { z } from "zod";
import { ruleFilterMistake } from "./broker/authorization.ts";
import { isTopicName } from "./broker/topic.ts";
import { count } from "./config-measures.ts";

/** By name of the setting. */
export const mqttOffers = {
  maximumQos: count(
    2,
    { min: 0, max: 2 },
    "Highest quality of service that clients may publish with and are given; told to MQTT 5 clients. Who publishes with a higher one is disconnected (0x9B).",
  ),
  retainAvailable: z.boolean().default(true).meta({
    description:
      "Whether there are retained messages; told to MQTT 5 clients. Without them who publishes one is disconnected (0x9A), and those that are stored are sent to nobody.",
  }),
  validatePayloadFormat: z.boolean().default(false).meta({
    description:
      "Looks whether payloads that say of themselves that they are UTF-8 (payload format indicator 1) are; others are refused with 0x99.",
  }),
  responseInformation: z
    .string()
    .max(1_024)
    .refine((text) => isTopicName(text) && ruleFilterMistake(text) === undefined, {
      error: "expected a topic name, with %u, %c or %% in it at most",
    })
    .optional()
    .meta({
      description:
        "Where MQTT 5 clients that ask for it are to have responses sent: `%u` is the user name, `%c` the Client Identifier, `%%` a percent sign. By default they are told nothing.",
    }),
};
