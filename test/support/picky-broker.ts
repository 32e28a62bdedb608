import { once } from "node:events";
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from "node:net";
import type { TestContext } from "node:test";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import {
  generate,
  type IConnectPacket,
  type IPublishPacket,
  type Packet,
  parser,
} from "mqtt-packet";

/** What a picky broker does with a PUBLISH. */
export type Verdict =
  | "take"
  /** Hangs up without a word. */
  | "hang-up"
  /** Says nothing. */
  | "ignore"
  /** PUBACK with this reason. */
  | { readonly puback: number }
  /** DISCONNECT with this reason. */
  | { readonly disconnect: number };

/** A PUBLISH that was taken. */
export interface Taken {
  readonly topic: string;
  readonly payload: string;
  readonly qos: number;
  readonly id: string;
}

export interface PickyOptions {
  readonly verdict?: (topic: string, payload: string) => Verdict;
  /** Reason code of CONNACK. Default: 0. */
  readonly admit?: (connect: IConnectPacket) => number;
  readonly tls?: TlsOptions;
  /** Properties of CONNACK. */
  readonly connack?: Readonly<Record<string, unknown>>;
}

/** A centre that speaks MQTT 5 and takes what it likes. */
export class PickyBroker {
  readonly taken: Taken[] = [];
  verdict: (topic: string, payload: string) => Verdict;
  admit: (connect: IConnectPacket) => number;
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #connack: Readonly<Record<string, unknown>>;

  private constructor(options: PickyOptions) {
    this.verdict = options.verdict ?? (() => "take");
    this.admit = options.admit ?? (() => 0);
    this.#connack = options.connack ?? {};
    const onSocket = (socket: Socket): void => this.#serve(socket);
    this.#server =
      options.tls === undefined
        ? createTcpServer({ noDelay: true }, onSocket)
        : createTlsServer(options.tls, onSocket);
  }

  static async start(t: TestContext, options: PickyOptions = {}): Promise<PickyBroker> {
    const broker = new PickyBroker(options);
    broker.#server.listen(0, "127.0.0.1");
    await once(broker.#server, "listening");
    t.after(() => {
      for (const socket of broker.#sockets) socket.destroy();
      broker.#server.close();
    });
    return broker;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Payloads of what was taken, each once, in order of its first arrival. */
  get payloads(): string[] {
    return [...new Set(this.taken.map(({ payload }) => payload))];
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    const packets = parser({ protocolVersion: 5 });
    packets.on("packet", (packet) => this.#answer(socket, packet));
    packets.on("error", () => socket.destroy());
    socket.on("data", (bytes) => packets.parse(bytes));
  }

  #answer(socket: Socket, packet: Packet): void {
    const send = (answer: Packet): void => {
      socket.write(generate(answer, { protocolVersion: 5 }));
    };
    if (packet.cmd === "connect") {
      const reasonCode = this.admit(packet);
      if (reasonCode === 0) this.connections++;
      send({ cmd: "connack", reasonCode, sessionPresent: false, properties: this.#connack });
      if (reasonCode !== 0) socket.end();
    } else if (packet.cmd === "pingreq") {
      send({ cmd: "pingresp" });
    } else if (packet.cmd === "publish" && !socket.destroyed) {
      this.#publish(socket, packet, send);
    }
  }

  #publish(socket: Socket, packet: IPublishPacket, send: (answer: Packet) => void): void {
    const { topic, qos, messageId } = packet;
    const payload = packet.payload.toString();
    const verdict = this.verdict(topic, payload);
    if (verdict === "ignore") return;
    if (verdict === "hang-up") {
      socket.destroy();
      return;
    }
    const id = messageId === undefined ? {} : { messageId };
    if (verdict === "take") {
      const own = packet.properties?.userProperties?.["rill-id"];
      this.taken.push({ topic, payload, qos, id: String(own) });
      if (qos > 0) send({ cmd: "puback", ...id, reasonCode: 0 });
    } else if ("puback" in verdict) {
      send({ cmd: "puback", ...id, reasonCode: verdict.puback });
    } else {
      send({ cmd: "disconnect", reasonCode: verdict.disconnect });
      socket.end();
    }
  }
}
