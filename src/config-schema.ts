/**
 * Every setting: default, unit (in its name), limits and what it does. The JSON Schema, the environment variables and
 * `docs/configuration.md` come from here.
 */
import { z } from "zod";
import { hostAndPort } from "./config-address.ts";
import { listenerSchema, tlsSchema } from "./config-listener-schema.ts";
import {
  count,
  filePath,
  GiB,
  HOUR,
  KiB,
  MiB,
  measure,
  milliseconds,
  name,
  size,
  TiB,
} from "./config-measures.ts";
import { mqttSchema } from "./config-mqtt-schema.ts";
import { nativeSchema, patternsSchema } from "./config-pattern-limits.ts";
import { queueSchema, routeSchema, ruleSchema } from "./config-pattern-schema.ts";
import { streamSchema } from "./config-stream-schema.ts";
import { bytesOf, sizeText } from "./config-units.ts";
import { uplinkSchema } from "./config-uplink-schema.ts";

export const storeSchema = z.strictObject({
  maxBytes: size(
    "4GiB",
    { min: MiB, max: 16 * TiB },
    "Most live bytes of everything durable; beyond it durable work is refused.",
  ),
  pendingBytesMax: size(
    "8MiB",
    { min: 64 * KiB, max: GiB },
    "Most bytes that wait for the disk; beyond it publishers are held back.",
  ),
  lingerMs: milliseconds(
    "0",
    { min: 0, max: 50 },
    "How long a lone message waits for company before its commit; spares flash, costs latency.",
  ),
  pinBytesMax: size(
    "64MiB",
    { min: 64 * KiB, max: TiB },
    "What sessions that are far behind may keep the logs from letting go of; beyond it what they are still owed is copied, where that gives back at least twice as much.",
  ),
  diskReserveBytes: measure(
    { min: 0, max: TiB },
    "bytes or a size such as 64KiB",
    bytesOf,
    sizeText,
  )
    .optional()
    .meta({
      description:
        "Free space of the disk that ordinary durable work may not use; by default 32MiB, on a small disk 5 % of it.",
    }),
});

const timeSchema = z.strictObject({
  trust: z.enum(["auto", "always", "never"]).default("auto").meta({
    description:
      "Whether the wall clock is believed, so that time spent off counts for expiry and age: `auto` when the system says that it is synchronized, or, where the system says nothing, when it is plausible; `always`; `never`.",
  }),
  synchronizedFile: filePath(
    "File that is there once the wall clock is synchronized, for `auto`. By default that of systemd-timesyncd where that runs (`/run/systemd/timesync/synchronized`).",
  ).optional(),
});

const accessSchema = z.strictObject({
  usersFile: filePath(
    "File with user names and hashed passwords, as `rillmq passwd` writes it. Read again when it changes and on SIGHUP.",
  ).optional(),
  rulesFile: filePath(
    "YAML file that says who may publish and subscribe to what (`docs/security.md`). Without it everybody who came in may do everything. Read again when it changes and on SIGHUP.",
  ).optional(),
  verificationsMax: count(
    2,
    { min: 1, max: 3 },
    "Most passwords that are checked at a time; each takes 8 MiB of memory, 16 MiB at most. One thread of `UV_THREADPOOL_SIZE` (4) is always left to the store.",
  ),
  verificationsWaitingMax: count(
    1_000,
    { min: 1, max: 100_000 },
    "Most clients that wait for their password to be checked; more are refused with reason code 0x89.",
  ),
  verifiedForMs: milliseconds(
    "5m",
    { min: 0, max: HOUR },
    "How long a password that was right is let in again without the whole computation, so that many clients can reconnect at once; 0: not at all.",
  ),
});

export const configSchema = z.strictObject({
  edgeId: name(
    "Names this edge at the centre; by default drawn at the first start and kept in the data folder.",
  ).optional(),
  data: z.string().min(1).default("./data").meta({
    description: "Data folder; made when it is not there. One broker at a time.",
  }),
  http: z
    .string()
    .refine((text) => text === "off" || hostAndPort(text) !== undefined, {
      error: "expected host:port or off",
    })
    .default("127.0.0.1:9883")
    .meta({
      description:
        "Where `/healthz`, `/readyz` and `/metrics` are served; `off` serves them nowhere. The default gives way to a free port when it is taken.",
    }),
  listeners: z
    .array(listenerSchema)
    .min(1, { error: "expected at least one listener" })
    .max(16)
    .prefault([{ url: "mqtt://127.0.0.1:1883" }])
    .meta({ description: "Where clients connect." }),
  tls: tlsSchema.optional().meta({
    description:
      "Certificate of all `mqtts`, `wss` and `rills` listeners without one of their own. Files are read again when they change and on SIGHUP.",
  }),
  allowAnonymous: z.boolean().default(false).meta({
    description:
      "Lets clients without a user name come in through every listener that does not say otherwise. Without it, and without a users file, listeners beyond loopback are refused.",
  }),
  access: accessSchema.prefault({}).meta({
    description: "Who may come in, and who may publish and subscribe to what.",
  }),
  streams: z.array(streamSchema).max(64).default([]).meta({ description: "Named durable logs." }),
  queues: z.array(queueSchema).max(256).default([]).meta({
    description: "Named work queues: each message goes to one consumer until it is settled.",
  }),
  routes: z.array(routeSchema).max(256).default([]).meta({
    description: "Lists of destinations under a key, for messages that go to several at once.",
  }),
  rules: z.array(ruleSchema).max(256).default([]).meta({
    description:
      "Publishes of clients that match go to further destinations, in the same commit; what came by a rule is held against no rule again.",
  }),
  uplinks: z
    .array(uplinkSchema)
    .max(16)
    .default([])
    .meta({ description: "Where streams are forwarded to." }),
  store: storeSchema.prefault({}).meta({ description: "What is on disk." }),
  mqtt: mqttSchema.prefault({}).meta({ description: "Limits of MQTT clients and sessions." }),
  time: timeSchema.prefault({}).meta({ description: "When the wall clock is believed." }),
  patterns: patternsSchema.prefault({}).meta({
    description: "Limits of streams, consumers and queues that are made while the broker runs.",
  }),
  native: nativeSchema.prefault({}).meta({
    description: "Limits of clients of the native protocol; those of `mqtt` hold for them as well.",
  }),
  log: z
    .strictObject({
      level: z
        .enum(["debug", "info", "warn", "error"])
        .default("info")
        .meta({ description: "Least severe entries that are written to standard error." }),
    })
    .prefault({})
    .meta({ description: "Logging." }),
});

/** The whole configuration, complete and checked. */
export type Config = z.output<typeof configSchema>;
/** A certificate of ours, and what is asked of clients. */
export type TlsConfig = NonNullable<Config["tls"]>;
/** One uplink, by `driver`; `urls` has at least one. */
export type UplinkConfig = Config["uplinks"][number];

/** The JSON Schema (2020-12) of what may be written in the file. */
export function configJsonSchema(): JsonSchema {
  return z.toJSONSchema(configSchema, { io: "input" }) as JsonSchema;
}

/** The parts of JSON Schema that occur in ours. */
export interface JsonSchema {
  readonly description?: string;
  readonly type?: string | readonly string[];
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxItems?: number;
  readonly writeOnly?: boolean;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly oneOf?: readonly JsonSchema[];
  readonly anyOf?: readonly JsonSchema[];
}
