/** Servers for the uplink's MQTT client: what they say of their own accord, whatever the version. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import type { IConnackPacket, Packet } from "mqtt-packet";
import { WebSocketServer } from "ws";
import type { ScriptedServer, ServedConnection } from "../support/scripted-server.ts";

type Takes = (packet: Packet, connection: ServedConnection) => boolean;

/** Takes every connection with this CONNACK, and PUBLISH where `takes` says so. */
export function welcoming(connack: Partial<IConnackPacket> = {}, takes: Takes = () => true) {
  return (packet: Packet, connection: ServedConnection): void => {
    if (packet.cmd === "connect") {
      connection.send({ cmd: "connack", reasonCode: 0, sessionPresent: false, ...connack });
    } else if (packet.cmd === "pingreq") {
      connection.send({ cmd: "pingresp" });
    } else if (packet.cmd === "publish" && packet.messageId !== undefined) {
      const { messageId } = packet;
      if (takes(packet, connection)) connection.send({ cmd: "puback", messageId, reasonCode: 0 });
    }
  };
}

/** Sends messages of each QoS that nobody asked for on the server's first connection; each is to be acknowledged by its QoS. */
export async function sendUnasked(
  server: ScriptedServer,
  connection: ServedConnection,
): Promise<void> {
  const unasked = {
    cmd: "publish",
    topic: "unasked",
    payload: "x",
    dup: false,
    retain: false,
  } as const;
  connection.send({ ...unasked, qos: 0 });
  connection.send({ ...unasked, qos: 1, messageId: 7 });
  await server.when(0, "puback");
  connection.send({ ...unasked, qos: 2, messageId: 8 });
  await server.when(0, "pubrec");
  connection.send({ cmd: "pubrel", messageId: 8 });
  await server.when(0, "pubcomp");
  const ids = (["puback", "pubrec", "pubcomp"] as const).map((cmd) =>
    connection.all(cmd).map(({ messageId }) => messageId),
  );
  assert.deepEqual(ids, [[7], [8], [8]]);
}

interface FrameServer {
  readonly url: string;
  /** Subprotocols of each connection. */
  readonly offered: readonly (readonly string[])[];
  /** Whether each frame was binary. */
  readonly kinds: readonly boolean[];
}

/** Answers every frame over WebSocket with these bytes, and notes what is offered and sent. */
export async function startWebSocketServer(t: TestContext, answer: Buffer): Promise<FrameServer> {
  const offered: string[][] = [];
  const server = new WebSocketServer({
    port: 0,
    host: "127.0.0.1",
    handleProtocols: (protocols) => {
      offered.push([...protocols]);
      return "mqtt";
    },
  });
  t.after(() => server.close());
  await once(server, "listening");
  const kinds: boolean[] = [];
  server.on("connection", (socket) => {
    t.after(() => socket.terminate());
    socket.on("message", (_data, isBinary) => {
      kinds.push(isBinary);
      socket.send(answer);
    });
  });
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`, offered, kinds };
}
