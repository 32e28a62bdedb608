import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { Decoder } from "../../src/mqtt/decoder.ts";
import { type OutgoingPacket, PacketType } from "../../src/mqtt/packet.ts";
import { decodeUtf8 } from "../../src/mqtt/utf8.ts";
import { packetBytes } from "../support/packet-bytes.ts";
import type { UplinkCase } from "./uplink-cases.ts";

/** How long a client may stay after it was told something wrong, before this side ends the connection; ms. */
const PATIENCE_MS = 25;

/** A remote that says one wrong thing on each connection, until it has said all; from then on it behaves. */
export class HostileRemote {
  /** Payloads that it acknowledged. */
  readonly taken: string[] = [];
  /** Of the connections that were told something wrong, how many the client ended by itself. */
  endedByClient = 0;
  readonly #cases: UplinkCase[];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(cases: readonly UplinkCase[]) {
    this.#cases = [...cases];
    this.#server = createServer({ noDelay: true }, (socket) => this.#serve(socket));
  }

  static async start(cases: readonly UplinkCase[]): Promise<HostileRemote> {
    const remote = new HostileRemote(cases);
    remote.#server.listen(0, "127.0.0.1");
    await once(remote.#server, "listening");
    return remote;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Cases that were not said yet. */
  get left(): number {
    return this.#cases.length;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #serve(socket: Socket): void {
    let wrong: UplinkCase | undefined = this.#cases.shift();
    let isSaid = false;
    this.#sockets.add(socket);
    const decoder = new Decoder({ role: "server", packetBytesMax: 1_048_576 });
    const send = (packet: OutgoingPacket): void => {
      socket.write(packetBytes(packet, decoder.protocolVersion));
    };
    /** True when it was said instead of the right answer. */
    const say = (...moments: UplinkCase["moment"][]): boolean => {
      if (isSaid) return true;
      if (wrong === undefined || !moments.includes(wrong.moment)) return false;
      socket.write(wrong.bytes);
      wrong = undefined;
      isSaid = true;
      setTimeout(() => socket.destroy(), PATIENCE_MS);
      return true;
    };
    socket.on("error", () => undefined);
    socket.on("end", () => {
      if (isSaid) this.endedByClient++;
    });
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("data", (bytes) => {
      decoder.feed(bytes);
      for (let next = decoder.next(); next !== undefined; next = decoder.next()) {
        if (next.type === PacketType.connect) {
          if (say("instead of CONNACK")) continue;
          send({ type: PacketType.connack, sessionPresent: false, reasonCode: 0, properties: {} });
          say("after CONNACK");
        } else if (next.type === PacketType.pingreq) {
          send({ type: PacketType.pingresp });
        } else if (next.type === PacketType.publish && !say("instead of PUBACK")) {
          const { packetId } = next;
          this.taken.push(decodeUtf8(next.bytes, next.payloadStart, next.payloadEnd));
          send({ type: PacketType.puback, packetId, reasonCode: 0 });
        }
      }
    });
  }
}
