/**
 * A broker process and its real sockets: MQTT over TCP and over WebSocket, the native protocol in WebSocket frames, HTTP for metrics, and the
 * admin channel. After each round of inputs other clients of both protocols are served; at the end nothing is left but these.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ADMIN_SOCKET } from "../../src/cli/admin-client.ts";
import { PacketType, ProtocolVersion } from "../../src/mqtt/packet.ts";
import { SUBPROTOCOLS } from "../../src/native/frame.ts";
import { BrokerHome, type BrokerProcess, type Cleanup } from "../support/broker-process.ts";
import { eventually } from "../support/json-process.ts";
import { NativeSocket } from "../support/native-socket.ts";
import { sampleOf } from "../support/prometheus.ts";
import { publishPacket, WireClient } from "../support/wire-client.ts";
import type { Chance } from "./chance.ts";
import { httpInput, nativeBytesInput, nativeFramesInput, websocketInput } from "./http-inputs.ts";
import { spoil } from "./mutations.ts";
import { nativeConversation } from "./native-conversation.ts";
import { spoiledMessages } from "./native-mutations.ts";
import { type Address, throwAt } from "./raw-connection.ts";
import { Tally } from "./tally.ts";
import { validConversation } from "./valid-conversation.ts";

const WAIT_MS = 30_000;
/** Network connections at a time. */
const AT_A_TIME = 8;
const CREDIT = 10;
/** Conversations of the native protocol that came further than `hello`. */
export const WELCOME = "native welcome";
/** Each as often as it is there. */
export const SOCKET_KINDS: readonly string[] = [
  ...["tcp", "tcp", "tcp", "tcp", "websocket", "websocket", "http", "admin"],
  ...["native frames", "native frames", "native bytes", "native bytes"],
];

export class SocketTarget {
  /** Inputs by the kind of socket. */
  readonly kinds = new Tally();
  readonly #broker: BrokerProcess;
  readonly #admin: Address;
  readonly #other: WireClient;
  readonly #otherNative: NativeSocket;
  #rounds = 0;

  private constructor(
    broker: BrokerProcess,
    admin: Address,
    other: WireClient,
    otherNative: NativeSocket,
  ) {
    this.#broker = broker;
    this.#admin = admin;
    this.#other = other;
    this.#otherNative = otherNative;
  }

  static async start(cleanup: Cleanup): Promise<SocketTarget> {
    const home = new BrokerHome(cleanup);
    const native = { url: "rill://127.0.0.1:0" };
    const webSockets = { url: "ws://127.0.0.1:0", protocols: ["mqtt", "rill"] };
    const broker = await home.start({
      config: {
        listeners: [{ url: "mqtt://127.0.0.1:0" }, webSockets, native],
        streams: [
          { name: "captured", filters: ["t/#"], maxBytes: "256KiB", whenFull: "drop-oldest" },
        ],
        mqtt: { connectTimeoutMs: 2_000, sessionExpiryMaxSeconds: 1 },
      },
    });
    const other = await WireClient.open(broker.port, ProtocolVersion.v5);
    await other.connect({ clientId: "other-client" });
    await other.subscribe(1, "other-own", 1);
    const otherNative = await NativeSocket.open(
      { after: (close) => cleanup.after(async () => close()) },
      broker.urls[2] ?? "",
    );
    const frame = { op: "subscribe", filter: "other-native", credit: CREDIT };
    assert.equal((await otherNative.ask(frame)).op, "ok");
    return new SocketTarget(broker, { path: join(home.data, ADMIN_SOCKET) }, other, otherNative);
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
    const kind = chance.pick(SOCKET_KINDS);
    this.kinds.add(kind);
    if (kind === "native frames" || kind === "native bytes") {
      await this.#throwNative(
        chance,
        kind === "native frames" ? nativeFramesInput : nativeBytesInput,
      );
      return;
    }
    if (kind === "http") await throwAt(portOf(httpUrl), httpInput(chance, "/metrics"));
    else if (kind === "admin") await throwAt(this.#admin, httpInput(chance, "/v1/status"));
    else {
      const { chunks } = spoil(validConversation(chance).packets, chance);
      const [tcp, websocket] = urls;
      if (kind === "tcp") await throwAt(portOf(tcp), chunks);
      else await throwAt(portOf(websocket), websocketInput(chance, chunks));
    }
  }

  /** Over the listener that speaks nothing else, or beside MQTT. */
  async #throwNative(chance: Chance, inputOf: typeof nativeFramesInput): Promise<void> {
    const [, webSockets, native] = this.#broker.urls;
    const url = new URL((chance.oneIn(3) ? webSockets : native) ?? "");
    const subprotocol = chance.pick(SUBPROTOCOLS);
    const { messages } = spoiledMessages(nativeConversation(chance), chance, subprotocol);
    const input = inputOf(chance, messages, { path: url.pathname, subprotocol });
    const said = await throwAt(portOf(url.href), input);
    if (said.includes("welcome")) this.kinds.add(WELCOME);
  }

  /** Ends when nothing is left but the other client. */
  async finish(): Promise<void> {
    const isAlone = async (): Promise<boolean> =>
      (await sampleOf(this.#broker, "rillmq_connections")) === 2 &&
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
    await this.#serveOtherNative(text);
  }

  async #serveOtherNative(text: string): Promise<void> {
    const other = this.#otherNative;
    other.send({ op: "credit", sub: 1, add: 1 });
    other.send({ op: "publish", topic: "other-native", payload: Buffer.from(text) });
    const { payload } = await other.nextOf("event");
    assert.equal(Buffer.from(payload ?? []).toString(), text);
  }

  /** Lines of the log that speak of our own mistakes. */
  #bugs(): unknown[] {
    return this.#broker.log.filter((line) => line["level"] === "error");
  }
}

const portOf = (url: string | undefined): Address => ({ port: Number(new URL(url ?? "").port) });
