/**
 * A broker process and its real sockets: MQTT over TCP and over WebSocket, HTTP for metrics, and the admin channel. After each
 * round of inputs another client is served; at the end nothing is left but that client.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ADMIN_SOCKET } from "../../src/cli/admin-client.ts";
import { PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { BrokerHome, type BrokerProcess, type Cleanup } from "../support/broker-process.ts";
import { eventually } from "../support/json-process.ts";
import { sampleOf } from "../support/prometheus.ts";
import { publishPacket, WireClient } from "../support/wire-client.ts";
import type { Chance } from "./chance.ts";
import { httpInput, websocketInput } from "./http-inputs.ts";
import { spoil } from "./mutations.ts";
import { type Address, throwAt } from "./raw-connection.ts";
import { Tally } from "./tally.ts";
import { validConversation } from "./valid-conversation.ts";

const WAIT_MS = 30_000;
/** Network connections at a time. */
const AT_A_TIME = 8;

export class SocketTarget {
  /** Inputs by the kind of socket. */
  readonly kinds = new Tally();
  readonly #broker: BrokerProcess;
  readonly #admin: Address;
  readonly #other: WireClient;
  #rounds = 0;

  private constructor(broker: BrokerProcess, admin: Address, other: WireClient) {
    this.#broker = broker;
    this.#admin = admin;
    this.#other = other;
  }

  static async start(cleanup: Cleanup): Promise<SocketTarget> {
    const home = new BrokerHome(cleanup);
    const urls = ["mqtt://127.0.0.1:0", "ws://127.0.0.1:0"];
    const broker = await home.start({
      config: {
        listeners: urls.map((url) => ({ url })),
        streams: [
          { name: "captured", filters: ["t/#"], maxBytes: "256KiB", whenFull: "drop-oldest" },
        ],
        mqtt: { connectTimeoutMs: 2_000, sessionExpiryMaxSeconds: 1 },
      },
    });
    const other = await WireClient.open(broker.port, ProtocolVersion.v5);
    await other.connect({ clientId: "other-client" });
    await other.subscribe(1, "other-own", 1);
    return new SocketTarget(broker, { path: join(home.data, ADMIN_SOCKET) }, other);
  }

  /** Resident memory of the broker in bytes, without what is mapped from files. */
  get memoryBytes(): number {
    return this.#broker.anonymousBytes;
  }

  /** Some inputs side by side. @throws whatever is wrong with the broker; the inputs of the round are those of `chance` */
  async runRound(chance: Chance): Promise<number> {
    await Promise.all(Array.from({ length: AT_A_TIME }, () => this.#throwOne(chance)));
    try {
      await this.#serveOther();
    } catch (error) {
      const { isOver, stderr } = this.#broker;
      const how = isOver ? "the broker is gone" : "the broker goes on";
      throw new Error(`another client is not served, ${how}:\n${stderr.slice(-4_000)}`, {
        cause: error,
      });
    }
    return AT_A_TIME;
  }

  async #throwOne(chance: Chance): Promise<void> {
    const { urls, httpUrl } = this.#broker;
    const kind = chance.pick([
      "tcp",
      "tcp",
      "tcp",
      "tcp",
      "websocket",
      "websocket",
      "http",
      "admin",
    ]);
    this.kinds.add(kind);
    if (kind === "http") await throwAt(portOf(httpUrl), httpInput(chance, "/metrics"));
    else if (kind === "admin") await throwAt(this.#admin, httpInput(chance, "/v1/status"));
    else {
      const { chunks } = spoil(validConversation(chance).packets, chance);
      const [tcp, websocket] = urls;
      if (kind === "tcp") await throwAt(portOf(tcp), chunks);
      else await throwAt(portOf(websocket), websocketInput(chance, chunks));
    }
  }

  /** Ends when nothing is left but the other client. */
  async finish(): Promise<void> {
    const isAlone = async (): Promise<boolean> =>
      (await sampleOf(this.#broker, "rillmq_connections")) === 1 &&
      (await sampleOf(this.#broker, 'rillmq_sessions{state="offline"}')) === 0;
    const describe = (): string => this.#broker.stderr.slice(-2_000);
    await eventually("everything of it is gone", isAlone, WAIT_MS, describe);
    await this.#serveOther();
    assert.deepEqual(this.#bugs(), [], "the log tells of bugs");
    await this.#other.drop();
  }

  async #serveOther(): Promise<void> {
    assert.equal(this.#broker.isOver, false, this.#broker.stderr.slice(-4_000));
    const text = String(++this.#rounds);
    const packetId = 1 + (this.#rounds % 60_000);
    this.#other.send(publishPacket("other-own", text, { qos: 1, packetId }));
    const { packet } = await this.#other.takeType(PacketType.publish);
    assert.ok("payload" in packet && Buffer.from(packet.payload).toString() === text);
    this.#other.send({ type: PacketType.puback, packetId: packet.packetId, reasonCode: 0 });
    await this.#other.takeType(PacketType.puback, packetId);
  }

  /** Lines of the log that speak of our own mistakes. */
  #bugs(): unknown[] {
    return this.#broker.log.filter((line) => line["level"] === "error");
  }
}

const portOf = (url: string | undefined): Address => ({ port: Number(new URL(url ?? "").port) });
