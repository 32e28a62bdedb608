/** A server that takes down what an MQTT client says, packet by packet and with an independent decoder, and answers what the test says. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { generate, type Packet, parser } from "mqtt-packet";
import { eventually } from "./json-process.ts";

type Cmd = Packet["cmd"];

/** One network connection as the server saw it. */
export class ServedConnection {
  readonly packets: Packet[] = [];
  /** The client has closed its side, and sent nothing more. */
  isEnded = false;
  readonly #socket: Socket;
  readonly #version: 4 | 5;

  constructor(socket: Socket, version: 4 | 5, onPacket: (packet: Packet) => void) {
    this.#socket = socket;
    this.#version = version;
    const packets = parser({ protocolVersion: version });
    packets.on("packet", (packet) => {
      this.packets.push(packet);
      onPacket(packet);
    });
    socket.on("data", (bytes) => packets.parse(bytes));
    socket.on("end", () => {
      this.isEnded = true;
    });
    socket.on("error", () => socket.destroy());
  }

  send(packet: Packet): void {
    this.#socket.write(generate(packet, { protocolVersion: this.#version }));
  }

  sendBytes(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  drop(): void {
    this.#socket.destroy();
  }

  /** The packets of this kind so far. */
  all<T extends Cmd>(cmd: T): Extract<Packet, { cmd: T }>[] {
    return this.packets.filter((packet) => packet.cmd === cmd) as Extract<Packet, { cmd: T }>[];
  }
}

/** Listens on a free port of this machine; it is gone at the end of the test. */
export class ScriptedServer {
  readonly connections: ServedConnection[] = [];
  readonly #server: Server;

  private constructor(
    version: 4 | 5,
    answer: (packet: Packet, connection: ServedConnection) => void,
  ) {
    this.#server = createServer({ noDelay: true }, (socket) => {
      const connection: ServedConnection = new ServedConnection(socket, version, (packet) =>
        answer(packet, connection),
      );
      this.connections.push(connection);
    });
  }

  /** @param answer what to do with a packet; CONNECT and PINGREQ are not answered by themselves */
  static async start(
    t: TestContext,
    version: 4 | 5,
    answer: (packet: Packet, connection: ServedConnection) => void,
  ): Promise<ScriptedServer> {
    const server = new ScriptedServer(version, answer);
    server.#server.listen(0, "127.0.0.1");
    await once(server.#server, "listening");
    t.after(() => {
      for (const connection of server.connections) connection.drop();
      server.#server.close();
    });
    return server;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The connection of this number, counted from 0, once it has so many packets of this kind. */
  async when(number: number, cmd: Cmd, count = 1): Promise<ServedConnection> {
    const isThere = (): boolean => (this.connections[number]?.all(cmd).length ?? 0) >= count;
    const seen = (): string => JSON.stringify(this.connections.map(({ packets }) => packets));
    await eventually(`${count} ${cmd} on connection ${number}`, isThere, 10_000, seen);
    const connection = this.connections[number];
    if (connection === undefined) throw new RangeError(`no connection ${number}`);
    return connection;
  }
}
