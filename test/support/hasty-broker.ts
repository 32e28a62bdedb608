/** A broker that acknowledges at once and stores nothing: what the tests of the flush gate must catch. */
import { createServer, type Socket } from "node:net";
import { ByteWriter } from "../../src/lib/byte-writer.ts";
import { Decoder } from "../../src/mqtt/decoder.ts";
import { encodePacket } from "../../src/mqtt/encoder.ts";
import { type OutgoingPacket, type Packet, PacketType } from "../../src/mqtt/packet.ts";
import type { Cleanup } from "./broker-process.ts";

/** Listens on a free port until the test ends; returns the port. */
export async function startHastyBroker(cleanup: Cleanup): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    serve(socket);
  });
  cleanup.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

function serve(socket: Socket): void {
  const decoder = new Decoder({ role: "server", packetBytesMax: 1_048_576 });
  const output = new ByteWriter();
  socket.on("error", () => undefined);
  socket.on("data", (chunk) => {
    decoder.feed(chunk);
    for (let packet = decoder.next(); packet !== undefined; packet = decoder.next()) {
      for (const each of answersTo(packet)) encodePacket(output, each, decoder.protocolVersion);
    }
    const { end } = output;
    socket.write(output.detach().subarray(0, end));
  });
}

/** Every PUBLISH comes back with its QoS and packet identifier, as if its publisher had subscribed. */
function answersTo(packet: Packet): OutgoingPacket[] {
  const success = { reasonCode: 0 } as const;
  switch (packet.type) {
    case PacketType.connect:
      return [{ type: PacketType.connack, sessionPresent: false, ...success, properties: {} }];
    case PacketType.subscribe:
      return [{ type: PacketType.suback, packetId: packet.packetId, reasonCodes: [2] }];
    case PacketType.unsubscribe:
      return [{ type: PacketType.unsuback, packetId: packet.packetId, reasonCodes: [0] }];
    case PacketType.publish: {
      const { qos, packetId } = packet;
      if (qos === 0) return [];
      const type = qos === 1 ? PacketType.puback : PacketType.pubrec;
      const copy = { type: PacketType.publish, dup: false, qos, retain: false, packetId } as const;
      return [
        { type, packetId, ...success },
        { ...copy, topic: "copy", payload: Buffer.of(0) },
      ];
    }
    case PacketType.pubrel:
      return [{ type: PacketType.pubcomp, packetId: packet.packetId, ...success }];
    case PacketType.pubrec:
      return [{ type: PacketType.pubrel, packetId: packet.packetId, ...success }];
    default:
      return [];
  }
}
