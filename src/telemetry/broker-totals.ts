import type { Counters } from "../broker/counters.ts";
import type { Collected, Sample } from "./collected.ts";
import type { MetricsSource } from "./metrics-source.ts";

interface Total {
  readonly name: string;
  readonly help: string;
  readonly label?: string;
  /** The broker's counters that it shows, each with its value of the label. */
  readonly parts: readonly (readonly [counter: keyof Counters, value?: string])[];
}

/** Every counter of the broker is in one of these. */
const TOTALS: readonly Total[] = [
  {
    name: "rillmq_messages_received_total",
    help: "Messages received from publishers, by their QoS.",
    label: "qos",
    parts: [
      ["messagesReceivedQos0", "0"],
      ["messagesReceivedQos1", "1"],
      ["messagesReceivedQos2", "2"],
    ],
  },
  {
    name: "rillmq_messages_delivered_total",
    help: "Messages sent to subscribers, by the QoS they were sent with.",
    label: "qos",
    parts: [
      ["messagesDeliveredQos0", "0"],
      ["messagesDeliveredQos1", "1"],
      ["messagesDeliveredQos2", "2"],
    ],
  },
  {
    name: "rillmq_packets_total",
    help: "MQTT packets, by direction.",
    label: "direction",
    parts: [
      ["packetsReceived", "received"],
      ["packetsSent", "sent"],
    ],
  },
  {
    name: "rillmq_payload_bytes_total",
    help: "Bytes of payloads from publishers and to subscribers.",
    label: "direction",
    parts: [
      ["payloadBytesReceived", "received"],
      ["payloadBytesSent", "sent"],
    ],
  },
  {
    name: "rillmq_sessions_expired_total",
    help: "Sessions that ended because nobody came back in time.",
    parts: [["sessionsExpired"]],
  },
  {
    name: "rillmq_messages_dropped_total",
    help: "Messages not delivered to somebody by a declared policy, by reason.",
    label: "reason",
    parts: [
      ["droppedSlowSubscriber", "slow-subscriber"],
      ["droppedNoMember", "no-member"],
      ["droppedTooLarge", "too-large"],
      ["droppedExpired", "expired"],
      ["droppedLost", "lost"],
      ["droppedOldest", "oldest"],
      ["droppedNotStored", "not-stored"],
      ["droppedNotAuthorized", "not-authorized"],
      ["droppedGivenUp", "given-up"],
    ],
  },
  {
    name: "rillmq_dead_letters_total",
    help: "Messages that a queue or consumer gave up and moved to a dead letter queue or stream.",
    parts: [["deadLettered"]],
  },
  {
    name: "rillmq_dead_letters_held_total",
    help: "Messages given up that stayed where they were, hidden, because their dead letter queue or stream had no room.",
    parts: [["deadLettersHeld"]],
  },
  {
    name: "rillmq_identifiers_forgotten_total",
    help: "Identifiers of messages forgotten before their duplicate window was over, because all of them took too much.",
    parts: [["identifiersForgotten"]],
  },
  {
    name: "rillmq_requests_total",
    help: "Requests, by what became of them.",
    label: "result",
    parts: [
      ["requestsReplied", "replied"],
      ["requestsCached", "cached"],
      ["requestsFailed", "responder-error"],
      ["requestsNoResponder", "no-responder"],
      ["requestsTimedOut", "timeout"],
      ["requestsRefused", "refused"],
    ],
  },
  {
    name: "rillmq_replies_late_total",
    help: "Replies that nobody waited for any more, or never.",
    parts: [["repliesLate"]],
  },
  {
    name: "rillmq_messages_refused_total",
    help: "Messages refused with a reason code, or whose publisher was held back and closed.",
    parts: [["refused"]],
  },
  {
    name: "rillmq_connections_accepted_total",
    help: "Connections accepted.",
    parts: [["connectionsAccepted"]],
  },
  {
    name: "rillmq_connections_refused_total",
    help: "Connections refused, by reason.",
    label: "reason",
    parts: [
      ["refusedCredentials", "bad-credentials"],
      ["refusedNotAuthorized", "not-authorized"],
      ["refusedBusy", "authentication-busy"],
      ["connectionsRefused", "other"],
    ],
  },
  {
    name: "rillmq_limits_reached_total",
    help: "Limits of what one client may do that were reached, by limit.",
    label: "limit",
    parts: [
      ["limitTopic", "topic"],
      ["limitSubscriptions", "subscriptions"],
      ["limitProperties", "properties"],
      ["limitPacketBytes", "packet-bytes"],
      ["limitPublishRate", "publish-rate"],
      ["limitStreams", "streams"],
      ["limitConsumers", "consumers"],
      ["limitQueues", "queues"],
      ["limitRequests", "requests"],
      ["limitBatch", "batch"],
      ["limitSubs", "subs"],
      ["limitWaits", "waiting-requests"],
    ],
  },
  {
    name: "rillmq_native_frames_total",
    help: "Frames of the native protocol, by direction.",
    label: "direction",
    parts: [
      ["framesReceived", "received"],
      ["framesSent", "sent"],
    ],
  },
  {
    name: "rillmq_native_frames_refused_total",
    help: "Frames of the native protocol that were answered with an error.",
    parts: [["framesRefused"]],
  },
  {
    name: "rillmq_native_connections_total",
    help: "Connections of the native protocol, by what happened to them.",
    label: "event",
    parts: [
      ["nativeOpened", "opened"],
      ["nativeClosed", "closed"],
    ],
  },
  {
    name: "rillmq_protocol_errors_total",
    help: "Connections closed for malformed packets or protocol errors.",
    parts: [["protocolErrors"]],
  },
];

/** What the broker counted, each total with its labels. */
export function addBrokerTotals(collected: Collected, source: MetricsSource): void {
  for (const { name, help, label, parts } of TOTALS) {
    collected.counter(name, help, label === undefined ? [] : [label], () => {
      const counters = source.counters();
      return parts.map(([counter, value]): Sample => {
        return [counters[counter], label === undefined ? {} : { [label]: value ?? "" }];
      });
    });
  }
}
