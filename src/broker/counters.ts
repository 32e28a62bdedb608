/** What happened since the start; plain numbers, because the hot path adds to them. */
export class Counters {
  messagesReceivedQos0 = 0;
  messagesReceivedQos1 = 0;
  messagesReceivedQos2 = 0;
  messagesDeliveredQos0 = 0;
  messagesDeliveredQos1 = 0;
  messagesDeliveredQos2 = 0;
  /** QoS 0 messages for a client that did not keep up. */
  droppedSlowSubscriber = 0;
  /** Messages whose expiry interval ran out before delivery. */
  droppedExpired = 0;
  /** Messages larger than the packets their subscriber takes. */
  droppedTooLarge = 0;
  /** Messages that a session was owed and whose log gave them up (drop-oldest) or lost them (damage). */
  droppedLost = 0;
  /** Messages that a stream with drop-oldest or a session with a full backlog gave up. */
  droppedOldest = 0;
  /** QoS 0 messages that could not be stored because there was no room. */
  droppedNotStored = 0;
  /** Messages refused with a reason code, or whose publisher was held back and closed. */
  refused = 0;
  connectionsAccepted = 0;
  connectionsRefused = 0;
  /** Connections closed for malformed packets or protocol errors. */
  protocolErrors = 0;
}
