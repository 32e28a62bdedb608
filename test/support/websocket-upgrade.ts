/** A request for MQTT over WebSocket, with the key of RFC 6455, section 1.3. */
export const UPGRADE_REQUEST = [
  "GET /mqtt HTTP/1.1",
  "Host: 127.0.0.1",
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Protocol: mqtt",
  "",
  "",
].join("\r\n");
