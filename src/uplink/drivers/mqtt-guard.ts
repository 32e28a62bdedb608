/** What a remote may send to an uplink, and how much at a time: MQTT.js itself takes anything, of any length. */
import type { MqttClient } from "mqtt";

/** Most bytes that may come without making a packet; what is for us is small. */
export const UNFINISHED_BYTES_MAX = 262_144;

/** We publish with QoS 0 and 1 and subscribe to nothing; CONNACK comes once. */
const EXPECTED: ReadonlySet<string> = new Set(["connack", "puback", "pingresp", "disconnect"]);

/**
 * Ends the network connection of a client at the first packet that is not for it, and when a packet grows beyond
 * `UNFINISHED_BYTES_MAX`. `onViolation` is called before, once, with what was wrong.
 */
export function guardClient(client: MqttClient, onViolation: (error: Error) => void): void {
  let unfinishedBytes = 0;
  let hasConnack = false;
  let isOver = false;
  const end = (what: string): void => {
    if (isOver) return;
    isOver = true;
    onViolation(new Error(`the remote sent ${what}`));
    client.stream.destroy();
  };
  client.on("packetreceive", ({ cmd }) => {
    unfinishedBytes = 0;
    if (!EXPECTED.has(cmd)) end(`${cmd.toUpperCase()}, which nobody asked for`);
    else if (cmd === "connack" && hasConnack) end("a second CONNACK");
    else if (cmd !== "connack" && !hasConnack) end(`${cmd.toUpperCase()} before CONNACK`);
    hasConnack ||= cmd === "connack";
  });
  client.stream.on("data", (chunk: Uint8Array) => {
    unfinishedBytes += chunk.length;
    if (unfinishedBytes > UNFINISHED_BYTES_MAX) end("a packet that is too large");
  });
}
