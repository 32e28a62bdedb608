/** The settings of one uplink: what both drivers have in common, what is theirs alone, and the lanes. */
import { z } from "zod";
import { isTopicFilter, isTopicName } from "./broker/topic.ts";
import {
  count,
  filePath,
  GiB,
  HOUR,
  KiB,
  MiB,
  milliseconds,
  name,
  SECOND,
  secret,
  size,
  TiB,
  url,
} from "./config-measures.ts";
import { templateMistake } from "./uplink/topic-template.ts";

const lane = z.strictObject({
  stream: z.string().meta({ description: "Name of the stream that is forwarded." }),
  name: name(
    "Names the lane at the remote and its progress; by default the name of the stream. Two lanes of one stream need two.",
  ).optional(),
  class: z
    .enum(["normal", "alarm"])
    .default("normal")
    .meta({ description: "Lanes of class `alarm` go before those of class `normal`." }),
  filters: z
    .array(z.string().refine(isTopicFilter, { error: "not a topic filter" }))
    .min(1, { error: "expected at least one topic filter" })
    .max(64)
    .optional()
    .meta({
      description: "Topic filters of the records that are forwarded; by default all of the stream.",
    }),
  topic: z
    .string()
    .superRefine((input, context) => {
      const message = templateMistake(input);
      if (message !== undefined) context.addIssue({ code: "custom", message });
    })
    .optional()
    .meta({
      description:
        "The topic at the remote, with `{edgeId}`, `{uplink}`, `{stream}`, `{topic}`, `{level:1}` (one level) and `{levels:2}` (from that level on). Only with `{topic}` or `{levels:1}` different topics surely stay different.",
    }),
  maxQos: z.literal([0, 1]).optional().meta({
    description:
      "Of `mqtt`: highest QoS at the remote, by default 1. With 0 a record is done when it was written to the connection, and may get lost on it.",
  }),
});

function remoteUrls(scheme: string, secure: string, defaultPort: number) {
  const schemes = [scheme, secure];
  const shown = `\`${scheme}://host:port\` or \`${secure}://host:port\``;
  return {
    url: url(schemes, defaultPort, `The remote, ${shown}.`).optional(),
    urls: z
      .array(url(schemes, defaultPort, "A remote."))
      .min(1)
      .max(16)
      .optional()
      .meta({ description: "Several remotes instead of `url`, the preferred one first." }),
  };
}

const uplinkCommon = {
  name: name("Names the uplink; its progress is kept under this name."),
  username: z.string().min(1).optional().meta({ description: "User name at the remote." }),
  password: secret("Password at the remote."),
  passwordFile: filePath("File with the password; read anew at each connect.").optional(),
  tls: z
    .strictObject({
      ca: filePath(
        "PEM file with the certification authorities of the remote; by default the well-known ones.",
      ).optional(),
      cert: filePath("PEM file with our certificate, if the remote asks for one.").optional(),
      key: filePath("PEM file with its private key, without passphrase.").optional(),
      serverName: z
        .string()
        .min(1)
        .optional()
        .meta({ description: "Name in the remote's certificate; by default the host of the URL." }),
    })
    .optional()
    .meta({ description: "TLS to the remote. Files are read anew at each connect." }),
  pin: z.boolean().default(true).meta({
    description:
      "Streams keep records until this uplink has delivered them. `false`: they do not wait for it, and what it misses is in its ledger.",
  }),
  deadLetterBytesMax: size(
    "64MiB",
    { min: MiB, max: 16 * TiB },
    "Most bytes of records that the remote never takes; beyond it the oldest go and the ledger says so.",
  ),
  lanes: z
    .array(lane)
    .min(1, { error: "expected at least one lane" })
    .max(64)
    .meta({ description: "The streams it forwards, each in order." }),
  window: count(
    1_024,
    { min: 1, max: 65_535 },
    "Most records of a lane sent and not yet acknowledged; an MQTT remote's Receive Maximum bounds it further.",
  ),
  inflightBytesMax: size(
    "4MiB",
    { min: 64 * KiB, max: GiB },
    "Most bytes sent and not yet acknowledged; a single larger record goes alone.",
  ),
  connectTimeoutMs: milliseconds(
    "10s",
    { min: 100, max: 10 * 60 * SECOND },
    "How long connecting may take before the attempt is given up.",
  ),
  progressDeadlineMs: milliseconds(
    "5s",
    { min: 100, max: HOUR },
    "With records in flight and no acknowledgement for this long (longer on slow links) the connection is replaced.",
  ),
  slowRetryMs: milliseconds(
    "60s",
    { min: 100, max: HOUR },
    "Pause between attempts while somebody has to do something first: credentials, a missing stream.",
  ),
  backoffMinMs: milliseconds("1s", { min: 10, max: HOUR }, "Shortest pause between attempts."),
  backoffMaxMs: milliseconds("60s", { min: 10, max: HOUR }, "Longest pause between attempts."),
  backoffResetMs: milliseconds(
    "30s",
    { min: 10, max: HOUR },
    "A connection that lasted this long starts the pauses at the shortest again.",
  ),
};

const natsUplink = z.strictObject({
  driver: z
    .literal("nats")
    .meta({ description: "NATS JetStream: exactly once into a stream with limits retention." }),
  ...uplinkCommon,
  ...remoteUrls("nats", "tls", 4222),
  token: secret("Token at the remote, instead of user name and password."),
  tokenFile: filePath("File with the token; read anew at each connect.").optional(),
  credentialsFile: filePath(
    "File with a NATS user's JWT and seed (`.creds`); read anew at each connect.",
  ).optional(),
});

const mqttUplink = z.strictObject({
  driver: z
    .literal("mqtt")
    .meta({ description: "Any MQTT broker: at least once, QoS 1, record id in `rill-id`." }),
  ...uplinkCommon,
  ...remoteUrls("mqtt", "mqtts", 1883),
  clientId: z
    .string()
    .min(1)
    .max(256)
    .optional()
    .meta({ description: "Client Identifier; by default made of edge id and uplink name." }),
  protocolVersion: z
    .literal([4, 5])
    .default(5)
    .meta({ description: "5, or 4 for MQTT 3.1.1 (then no record id travels along)." }),
  topicPrefix: z
    .string()
    .refine((prefix) => prefix === "" || isTopicName(prefix), {
      error: "no wildcards in a topic",
    })
    .default("edge/{edgeId}/")
    .meta({ description: "Put before each topic; `{edgeId}` is replaced; may be empty." }),
});

/** One uplink as it is written in the file; `url` becomes `urls`. */
export const uplinkSchema = z
  .discriminatedUnion("driver", [natsUplink, mqttUplink])
  .transform(({ url: single, urls, ...rest }) => ({
    ...rest,
    urls: urls ?? (single === undefined ? [] : [single]),
  }));
