/** A request for a WebSocket, with the key of RFC 6455, section 1.3. */
export const upgradeRequest = (path: string, subprotocol: string): string =>
  [
    `GET ${path} HTTP/1.1`,
    "Host: 127.0.0.1",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    `Sec-WebSocket-Protocol: ${subprotocol}`,
    "",
    "",
  ].join("\r\n");

/** The same for MQTT. */
export const UPGRADE_REQUEST = upgradeRequest("/mqtt", "mqtt");
