/**
 * Every setting: default, unit (in its name), limits and what it does. The JSON Schema, the environment variables and
 * `docs/configuration.md` come from here.
 */
import { z } from "zod";
import { isTopicFilter } from "./broker/topic.ts";
import { hostAndPort, listenerEndpoint, networkOf } from "./config-address.ts";
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
  SECOND,
  seconds,
  size,
  TiB,
} from "./config-measures.ts";
import { mqttOffers } from "./config-mqtt-offers.ts";
import { queueSchema, routeSchema, ruleSchema } from "./config-pattern-schema.ts";
import { bytesOf, sizeText } from "./config-units.ts";
import { uplinkSchema } from "./config-uplink-schema.ts";

const tlsSchema = z.strictObject({
  cert: filePath("PEM file with the certificate, and behind it those between it and the root."),
  key: filePath("PEM file with its private key, without passphrase."),
  ca: filePath(
    "PEM file with the certification authorities for certificates of clients.",
  ).optional(),
  requestClientCert: z
    .boolean()
    .default(false)
    .meta({ description: "Clients need a certificate signed by `ca`." }),
  minVersion: z
    .enum(["TLSv1.2", "TLSv1.3"])
    .default("TLSv1.2")
    .meta({ description: "Oldest version of TLS that is taken." }),
});

const listener = z.strictObject({
  url: z
    .string()
    .superRefine((input, context) => {
      const endpoint = listenerEndpoint(input);
      if ("reason" in endpoint) context.addIssue({ code: "custom", message: endpoint.reason });
    })
    .meta({
      description:
        "Where to listen: `mqtt://host:port`, `mqtts://host:port`, `ws://host:port/path`, `wss://host:port/path` (no path means `/mqtt`), `rill://host:port/path`, `rills://host:port/path` (the native protocol alone, `docs/native-protocol.md`; no path means `/rill`) or `unix:///path` (`mqtt+unix:///path` is the same). Port 0 takes a free one; without port it is 1883, 8883, 80, 443, 7455, 7456.",
    }),
  tls: tlsSchema.optional().meta({
    description:
      "Certificate of this `mqtts`, `wss` or `rills` listener instead of the common one.",
  }),
  allowAnonymous: z.boolean().optional().meta({
    description:
      "Whether clients may come in here without a user name. By default as `allowAnonymous` says, or, without a users file, on loopback and unix sockets.",
  }),
  protocols: z
    .array(z.enum(["mqtt", "rill"]))
    .min(1, { error: "expected mqtt, rill or both" })
    .max(2)
    .optional()
    .meta({
      description:
        "Of `ws` and `wss`: what may be spoken, by the subprotocol that a client offers: `mqtt`, `rill` (the native protocol, whose clients may also make and delete streams and queues, where the rules let them). By default `mqtt` alone.",
    }),
  origins: z.array(z.string().min(1)).max(64).optional().meta({
    description:
      'Of `ws`, `wss`, `rill` and `rills`: origins of web pages that may connect, such as `https://app.example`; `"*"` for all. By default pages of the same host and port (on loopback only under the names of loopback), and programs that are no browsers.',
  }),
  proxyProtocol: z
    .strictObject({
      from: z
        .array(
          z.string().refine((text) => networkOf(text) !== undefined, {
            error: "expected a network such as 10.0.0.0/8 or fd00::/8, or an address",
          }),
        )
        .min(1, { error: "expected at least one network" })
        .max(64)
        .meta({
          description:
            "Networks of the proxies, such as `10.0.0.0/8`, or their addresses. Whoever connects from there must begin with a header, whoever connects from elsewhere must not.",
        }),
    })
    .optional()
    .meta({
      description:
        "PROXY protocol (version 1 or 2), not of `unix`: proxies in front of the listener say for whom they connect. That address then counts for limits and log entries, and for nothing else.",
    }),
  mode: z
    .string({ error: 'expected permissions in quotes, such as "0600"' })
    .regex(/^0?[0-7]{3}$/, { error: 'expected permissions such as "0600"' })
    .optional()
    .meta({ description: 'Of `unix`: permissions of the socket; by default `"0600"`.' }),
});

const stream = z.strictObject({
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

export const mqttSchema = z.strictObject({
  connectionsMax: count(10_000, { min: 1, max: 1_000_000 }, "Most network connections at a time."),
  connectionsPerAddressMax: count(
    2_500,
    { min: 1, max: 1_000_000 },
    "Most of them from one IPv4 address or one IPv6 network of 64 bits; unix sockets are not counted.",
  ),
  unauthenticatedConnectionsMax: count(
    1_000,
    { min: 1, max: 1_000_000 },
    "Most network connections whose CONNECT has not been accepted; when there is one more, the oldest of them is closed.",
  ),
  connectTimeoutMs: milliseconds(
    "10s",
    { min: 100, max: 10 * 60 * SECOND },
    "How long a client may take to send a whole CONNECT, and before that for its TLS and WebSocket handshakes.",
  ),
  maxPacketBytes: size(
    "1MiB",
    { min: 256, max: 256 * MiB - 1 },
    "Largest packet taken; told to MQTT 5 clients.",
  ),
  connectPacketBytesMax: size(
    "64KiB",
    { min: 256, max: 256 * MiB - 1 },
    "Largest packet taken from a client whose CONNECT has not been accepted yet.",
  ),
  keepAliveMinSeconds: seconds(
    0,
    { min: 0, max: 65_535 },
    "Shortest keep alive of an MQTT 5 client; one that asks for a shorter one is given this; 0: none is too short.",
  ),
  keepAliveMaxSeconds: seconds(
    65_535,
    { min: 1, max: 65_535 },
    "Longest keep alive of an MQTT 5 client; one that asks for a longer one is given this.",
  ),
  receiveMaximum: count(
    100,
    { min: 1, max: 65_535 },
    "Most QoS 1 and 2 messages of one client that wait for their acknowledgement; told to MQTT 5 clients.",
  ),
  inflightMax: count(
    256,
    { min: 1, max: 65_535 },
    "Most QoS 1 and 2 messages sent to one client and not yet acknowledged by it.",
  ),
  sysIntervalMs: milliseconds(
    "10s",
    { min: 0, max: HOUR },
    "How often changed values are published below `$SYS/broker/`, 100 ms at least; 0: there are no such topics.",
  ),
  sessionsMax: count(20_000, { min: 1, max: 1_000_000 }, "Most sessions, with and without client."),
  sessionExpiryMaxSeconds: seconds(
    "7d",
    { min: 0, max: 4_294_967_295 },
    "How long a durable session may outlive its connection; 4294967295: for ever.",
  ),
  memoryBacklogBytesMax: size(
    "1MiB",
    { min: 4 * KiB, max: GiB },
    "Most bytes of QoS 1 and 2 messages that wait in memory for a session without expiry; durable sessions wait on disk.",
  ),
  backlogMessagesMax: count(
    100_000,
    { min: 1, max: 100_000_000 },
    "Most messages that wait in one durable session; see `backlogWhenFull`.",
  ),
  backlogBytesMax: size(
    "64MiB",
    { min: 64 * KiB, max: TiB },
    "Most bytes of messages that wait in one durable session; see `backlogWhenFull`.",
  ),
  backlogMaxAgeMs: milliseconds(
    "0",
    { min: 0, max: 10 * 365 * 24 * HOUR },
    "Messages that wait in a durable session for longer are dropped and counted; 0: none for its age.",
  ),
  backlogWhenFull: z.enum(["drop-oldest", "reject"]).default("drop-oldest").meta({
    description:
      "At `backlogMessagesMax` or `backlogBytesMax`: `drop-oldest` makes room, counts and logs what was dropped; `reject` refuses QoS 1 and 2 messages for that session with reason code 0x97 (a 3.1.1 publisher is held back), so that one absent client stops the publishers of its topics.",
  }),
  subscriptionsPerSessionMax: count(1_000, { min: 1, max: 1_000_000 }, "Most of one session."),
  topicBytesMax: size(
    "4KiB",
    { min: 64, max: 65_535 },
    "Longest topic or topic filter, in bytes of UTF-8.",
  ),
  topicLevelsMax: count(128, { min: 1, max: 65_535 }, "Most levels of a topic or topic filter."),
  userPropertiesMax: count(
    64,
    { min: 0, max: 65_535 },
    "Most user properties in one packet or will of an MQTT 5 client.",
  ),
  userPropertyBytesMax: size(
    "16KiB",
    { min: 0, max: MiB },
    "Most bytes of user properties in one packet or will of an MQTT 5 client.",
  ),
  publishRateMax: count(
    0,
    { min: 0, max: 1_000_000 },
    "Most messages per second that are taken from one client, on average; beyond it the client is not read for a while; 0: any number.",
  ),
  publishBytesPerSecondMax: size(
    "0",
    { min: 0, max: GiB },
    "Most bytes of PUBLISH packets, or of messages of a native client that publish something, per second that are taken from one client, on average; beyond it the client is not read for a while; 0: any number.",
  ),
  topicAliasMax: count(32, { min: 0, max: 65_535 }, "Topic aliases an MQTT 5 client may use."),
  topicAliasOutMax: count(
    32,
    { min: 0, max: 65_535 },
    "Most topic aliases that the broker uses towards an MQTT 5 client that takes them; 0: none.",
  ),
  ...mqttOffers,
  outputBytesMax: size(
    "1MiB",
    { min: 4 * KiB, max: GiB },
    "Most bytes that wait for one slow reader: beyond it QoS 0 is dropped and QoS 1 and 2 wait in the session.",
  ),
  outputBytesTotalMax: size(
    "64MiB",
    { min: 64 * KiB, max: TiB },
    "Most bytes that wait for all readers together: beyond it each of them may have 16KiB waiting, and QoS 0 is dropped or QoS 1 and 2 wait as at `outputBytesMax`.",
  ),
  writeTimeoutMs: milliseconds(
    "30s",
    { min: 100, max: HOUR },
    "With more than `outputBytesMax` (or its share of `outputBytesTotalMax`) waiting and not a byte taken for this long, a client is closed: it does not read.",
  ),
  holdMaxMs: milliseconds(
    "30s",
    { min: 100, max: HOUR },
    "How long a publisher is held back before its connection is closed.",
  ),
  retainedMessagesMax: count(100_000, { min: 0, max: 100_000_000 }, "Most retained messages."),
  retainedBytesMax: size(
    "64MiB",
    { min: 0, max: TiB },
    "Most bytes of retained messages, topics included.",
  ),
  retainedMessagesPerUserMax: count(
    50_000,
    { min: 0, max: 100_000_000 },
    "Most retained messages that one user has published; all clients without a user name count as one user.",
  ),
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

const patternsSchema = z.strictObject({
  streamsMax: count(
    256,
    { min: 1, max: 10_000 },
    "Most streams, those of the configuration and those made while the broker runs.",
  ),
  consumersMax: count(1_000, { min: 0, max: 100_000 }, "Most durable consumers of all streams."),
  queuesMax: count(
    256,
    { min: 0, max: 10_000 },
    "Most queues; those of the configuration are always there.",
  ),
  allowTopics: z.boolean().default(false).meta({
    description:
      "Lets MQTT clients publish and subscribe to `$queue/NAME` and `$stream/NAME` although there are no rules (`docs/patterns.md`). With rules these decide.",
  }),
  queueBytesMax: size(
    "256MiB",
    { min: 64 * KiB, max: 16 * TiB },
    "Most live bytes of a queue that says nothing else; beyond it sending is refused.",
  ),
  queueMessagesMax: count(
    100_000,
    { min: 1, max: 100_000_000 },
    "Most messages of a queue that says nothing else, delayed ones among them; beyond it sending is refused.",
  ),
  queueDeliveriesMax: count(
    1_024,
    { min: 0, max: 65_535 },
    "After so many deliveries without ack a message is given up, in a queue that says nothing else; 0: never.",
  ),
  queueVisibilityMs: milliseconds(
    "60s",
    { min: 1, max: 7 * 24 * HOUR },
    "How long a message is hidden from others once it was received, where the receiver says nothing else.",
  ),
  requestsMax: count(
    10_000,
    { min: 0, max: 1_000_000 },
    "Most requests that wait for their replies, of all clients together.",
  ),
  requestsPerClientMax: count(
    1_000,
    { min: 0, max: 100_000 },
    "Most requests of one connection that wait for their replies.",
  ),
  requestTimeoutMaxMs: milliseconds(
    "10m",
    { min: 1, max: 24 * HOUR },
    "Longest time that a request may wait for its reply.",
  ),
  replyCacheBytesMax: size(
    "8MiB",
    { min: 0, max: GiB },
    "Most bytes of replies that are kept for requests with a cache key; 0: none are.",
  ),
  duplicateWindowMs: milliseconds(
    "2m",
    { min: 0, max: 24 * HOUR },
    "How long identifiers of messages are remembered in streams and queues that say nothing else, to take none twice.",
  ),
  duplicateBytesMax: size(
    "32MiB",
    { min: 64 * KiB, max: 16 * GiB },
    "Most bytes of identifiers that are remembered, of all streams and queues together, in memory and as much again on disk; beyond it whoever has most forgets its oldest.",
  ),
});

const nativeSchema = z.strictObject({
  frameBytesMax: size(
    "1MiB",
    { min: 4 * KiB, max: 256 * MiB - 1 },
    "Largest message of a native client, which is a frame or a list of frames.",
  ),
  requestsMax: count(
    1_024,
    { min: 1, max: 65_535 },
    "Most requests of one native client that wait for the disk, after which it is not read; and most that wait for somebody else (long polls, replies), after which more are refused.",
  ),
  batchMax: count(
    1_024,
    { min: 1, max: 65_536 },
    "Most messages, sequences or deliveries in one frame of a native client.",
  ),
  subsMax: count(256, { min: 1, max: 65_535 }, "Most subs of one native client."),
  creditMax: count(65_535, { min: 1, max: 1_000_000 }, "Most credit of one sub."),
  idleMs: milliseconds(
    "30s",
    { min: SECOND, max: HOUR },
    "After so long without a frame a native client is asked whether it is there, after twice as long its connection ends.",
  ),
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
    .array(listener)
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
  streams: z.array(stream).max(64).default([]).meta({ description: "Named durable logs." }),
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
