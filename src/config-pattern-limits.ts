/** Limits of streams, consumers, queues and requests, and of clients of the native protocol. */
import { z } from "zod";
import { count, GiB, HOUR, KiB, MiB, milliseconds, SECOND, size, TiB } from "./config-measures.ts";

/** The section `patterns`. */
export const patternsSchema = z.strictObject({
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

/** The section `native`. */
export const nativeSchema = z.strictObject({
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
