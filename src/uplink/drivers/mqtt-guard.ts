/** What a remote may send to an uplink, and how much at a time: MQTT.js itself takes anything, of any length. */
import type { MqttClient } from "mqtt";

/** Most bytes that may come without making a packet; what is for us is small. */
export const UNFINISHED_BYTES_MAX = 262_144;

/** Messages of QoS 2 that may be between PUBLISH and PUBREL; MQTT.js keeps them. In version 5 told as Receive Maximum. */
export const UNRELEASED_MAX = 16;

/**
 * We publish with QoS 0 and 1 and subscribe to nothing; CONNACK comes once. A message that comes all the same is acknowledged
 * by MQTT.js, which nobody listens to, and dropped [MQTT-4.5.0-2].
 */
const EXPECTED: ReadonlySet<string> = new Set([
  "connack",
  "puback",
  "pingresp",
  "disconnect",
  "publish",
  "pubrel",
]);

/**
 * Ends the network connection of a client at the first packet that is not for it, when a packet grows beyond
 * `UNFINISHED_BYTES_MAX` and when more than `UNRELEASED_MAX` messages of QoS 2 are unfinished. `onViolation` is called before,
 * once, with what was wrong.
 */
export function guardClient(client: MqttClient, onViolation: (error: Error) => void): void {
  const unreleased = new Set<number>();
  let unfinishedBytes = 0;
  let hasConnack = false;
  let isOver = false;
  const end = (what: string): void => {
    if (isOver) return;
    isOver = true;
    onViolation(new Error(`the remote sent ${what}`));
    client.stream.destroy();
  };
  client.on("packetreceive", (packet) => {
    const { cmd } = packet;
    unfinishedBytes = 0;
    if (!EXPECTED.has(cmd)) end(`${cmd.toUpperCase()}, which nobody asked for`);
    else if (cmd === "connack" && hasConnack) end("a second CONNACK");
    else if (cmd !== "connack" && !hasConnack) end(`${cmd.toUpperCase()} before CONNACK`);
    hasConnack ||= cmd === "connack";
    const { messageId } = packet;
    if (messageId === undefined) return;
    if (packet.cmd === "publish" && packet.qos === 2) unreleased.add(messageId);
    else if (packet.cmd === "pubrel") unreleased.delete(messageId);
    if (unreleased.size > UNRELEASED_MAX) end("more messages at a time than it may");
  });
  client.stream.on("data", (chunk: Uint8Array) => {
    unfinishedBytes += chunk.length;
    if (unfinishedBytes > UNFINISHED_BYTES_MAX) end("a packet that is too large");
  });
}
