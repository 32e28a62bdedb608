/** What happened since the start; plain numbers, because the hot path adds to them. */
export class Counters {
  /** Packets of accepted clients and of those that want to be. */
  packetsReceived = 0;
  packetsSent = 0;
  /** Payloads of messages from publishers and to subscribers. */
  payloadBytesReceived = 0;
  payloadBytesSent = 0;
  /** Sessions that ended because nobody came back in time. */
  sessionsExpired = 0;
  messagesReceivedQos0 = 0;
  messagesReceivedQos1 = 0;
  messagesReceivedQos2 = 0;
  messagesDeliveredQos0 = 0;
  messagesDeliveredQos1 = 0;
  messagesDeliveredQos2 = 0;
  /** QoS 0 messages for a client that did not keep up. */
  droppedSlowSubscriber = 0;
  /** QoS 0 messages for a shared subscription whose members are all away. */
  droppedNoMember = 0;
  /** Messages whose expiry interval ran out before delivery. */
  droppedExpired = 0;
  /** Messages larger than the packets their subscriber takes. */
  droppedTooLarge = 0;
  /** Messages that a session was owed and whose log gave them up (drop-oldest) or lost them (damage). */
  droppedLost = 0;
  /** Messages that a stream with drop-oldest or a session with a full backlog gave up. */
  droppedOldest = 0;
  /** Messages that their publisher may not publish (QoS 0, wills) or their subscriber may not receive any more. */
  droppedNotAuthorized = 0;
  /** Messages of queues, and of consumers, that were given up and are in no dead letter queue or stream. */
  droppedGivenUp = 0;
  /** Those that are. */
  deadLettered = 0;
  /** Those that had to stay where they were at first, because there was no room for them. */
  deadLettersHeld = 0;
  /** Identifiers of messages that were forgotten before their window was over, because there were too many. */
  identifiersForgotten = 0;
  /** QoS 0 messages that could not be stored because there was no room. */
  droppedNotStored = 0;
  /** Messages refused with a reason code, or whose publisher was held back and closed. */
  refused = 0;
  /** What became of requests: a reply, a reply from the cache, an error that the responder said, nobody there, no reply in time, refused. */
  requestsReplied = 0;
  requestsCached = 0;
  requestsFailed = 0;
  requestsNoResponder = 0;
  requestsTimedOut = 0;
  requestsRefused = 0;
  /** Replies that nobody waited for (any more). */
  repliesLate = 0;
  connectionsAccepted = 0;
  /** Refused for a wrong user name or password. */
  refusedCredentials = 0;
  /** Refused for no user name, the session of another user, or a will that may not be published. */
  refusedNotAuthorized = 0;
  /** Refused because too many wait for their password to be checked. */
  refusedBusy = 0;
  /** Refused for any other reason. */
  connectionsRefused = 0;
  /** Topics and topic filters that were longer or deeper than what is taken. */
  limitTopic = 0;
  /** Subscriptions refused because their session had too many. */
  limitSubscriptions = 0;
  /** Packets with more or larger properties, or more topic filters, than what is taken. */
  limitProperties = 0;
  /** Packets larger than what is taken. */
  limitPacketBytes = 0;
  /** Times that a client was not read for a while because it published too fast. */
  limitPublishRate = 0;
  /** Streams, durable consumers and queues that were not made, and requests refused, because there were too many. */
  limitStreams = 0;
  limitConsumers = 0;
  limitQueues = 0;
  limitRequests = 0;
  /** Frames of native clients with too much in them; subs, and requests that wait for somebody, refused because a connection had too many. */
  limitBatch = 0;
  limitSubs = 0;
  limitWaits = 0;
  /** Connections closed for malformed packets or protocol errors. */
  protocolErrors = 0;
  /** Connections of the native protocol, and those of them that are over. */
  nativeOpened = 0;
  nativeClosed = 0;
  /** Frames of the native protocol. */
  framesReceived = 0;
  framesSent = 0;
  /** Of those received: answered with an error. */
  framesRefused = 0;
}
