/** What the network side refused or ended since the start; plain numbers, read by the metrics. */
export class NetworkCounters {
  /** Bytes of MQTT, without what TLS and WebSocket add. */
  bytesReceived = 0;
  bytesSent = 0;
  /** Connections that a listener took, whatever became of them. */
  opened = 0;
  /** Refused: its address has `connectionsPerAddressMax` connections already. */
  tooManyFromAddress = 0;
  /** Ended before their CONNECT was accepted, to make room for newer ones. */
  unauthenticatedShed = 0;
  /** TLS or WebSocket handshakes that took too long. */
  handshakeTimeouts = 0;
  /** TLS or WebSocket handshakes that failed or were refused. */
  handshakesFailed = 0;
  /** Connections of trusted proxies without a PROXY header, or with one that is none. */
  badProxyHeaders = 0;
  /** Refused: too many connections, or the store is not open. */
  notAccepted = 0;
  /** WebSocket connections ended for text, broken or oversized frames. */
  badFrames = 0;
  /** Ended: the peer stopped reading. */
  writesStalled = 0;
  /** Certificates replaced while running. */
  certificatesLoaded = 0;
  /** Changed certificates that could not be used; the ones before stay in force. */
  certificatesFailed = 0;
}
