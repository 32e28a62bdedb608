/** Limits of MQTT clients and sessions, of which many hold for native clients, too. */
import { z } from "zod";
import {
  count,
  GiB,
  HOUR,
  KiB,
  MiB,
  milliseconds,
  SECOND,
  seconds,
  size,
  TiB,
} from "./config-measures.ts";
import { mqttOffers } from "./config-mqtt-offers.ts";

/** The section `mqtt`. */
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
