import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

export interface TcpProxyTarget {
  readonly host: string;
  readonly port: number;
}

/** Which way bytes go: from who connected to the target, or back. */
export type ProxyDirection = "forward" | "backward";

interface Way {
  readonly from: Socket;
  readonly to: Socket;
  readonly direction: ProxyDirection;
  /** Bytes that wait for the end of a hold. */
  held: Buffer[];
  heldBytes: number;
}

/** Bytes held per way; beyond that the sender is not read any more. */
const HELD_BYTES_MAX = 16 * 1_048_576;

/**
 * A TCP proxy on loopback that can do what networks do: cut, lose one direction, stand still without a word
 * (half-open) and be slow. Each fault lasts until `heal` or `restore`.
 */
export class TcpProxy {
  #target: TcpProxyTarget;
  readonly #server: Server;
  readonly #ways = new Set<Way>();
  readonly #sockets = new Set<Socket>();
  readonly #blocked = new Set<ProxyDirection>();
  readonly #held = new Set<ProxyDirection>();
  #isCut = false;
  #delayMs = 0;
  /** Connections taken so far. */
  connections = 0;

  private constructor(target: TcpProxyTarget) {
    this.#target = target;
    this.#server = createServer((client) => this.#onClient(client));
  }

  /** Starts on a free port of 127.0.0.1. */
  static async start(target: TcpProxyTarget, port = 0): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    proxy.#server.listen(port, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** New connections go there. */
  retarget(target: TcpProxyTarget): void {
    this.#target = target;
  }

  /** Destroys every connection and refuses new ones until `restore`. */
  cut(): void {
    this.#isCut = true;
    this.drop();
  }

  /** Destroys every connection; new ones are welcome. */
  drop(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Ends a `cut`. */
  restore(): void {
    this.#isCut = false;
  }

  /** Swallows what goes one way: `backward` loses acknowledgements while everything else arrives. */
  block(direction: ProxyDirection): void {
    this.#blocked.add(direction);
  }

  /** Holds what goes one way, or both: half-open, nobody is told. `heal` delivers it. */
  hold(direction: ProxyDirection | "both"): void {
    if (direction !== "backward") this.#held.add("forward");
    if (direction !== "forward") this.#held.add("backward");
  }

  /** Each chunk arrives this much later. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  /** Ends `block`, `hold` and `delay` and delivers what was held. What was swallowed is gone. */
  heal(): void {
    this.#blocked.clear();
    this.#held.clear();
    this.#delayMs = 0;
    for (const way of this.#ways) {
      for (const chunk of way.held) if (!way.to.destroyed) way.to.write(chunk);
      way.held = [];
      way.heldBytes = 0;
      way.from.resume();
    }
  }

  async stop(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #onClient(client: Socket): void {
    if (this.#isCut) {
      client.resetAndDestroy();
      return;
    }
    this.connections++;
    const server = connect(this.#target.port, this.#target.host);
    this.#pipe(client, server, "forward");
    this.#pipe(server, client, "backward");
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(one);
      one.setNoDelay(true);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
  }

  #pipe(from: Socket, to: Socket, direction: ProxyDirection): void {
    const way: Way = { from, to, direction, held: [], heldBytes: 0 };
    this.#ways.add(way);
    from.on("data", (chunk: Buffer) => this.#onChunk(way, chunk));
    from.on("end", () => {
      if (!this.#held.has(direction)) to.end();
    });
    from.on("close", () => this.#ways.delete(way));
  }

  #onChunk(way: Way, chunk: Buffer): void {
    if (this.#blocked.has(way.direction)) return;
    if (this.#held.has(way.direction)) {
      way.held.push(chunk);
      way.heldBytes += chunk.length;
      if (way.heldBytes >= HELD_BYTES_MAX) way.from.pause();
      return;
    }
    if (this.#delayMs > 0) setTimeout(() => this.#forward(way, chunk), this.#delayMs);
    else this.#forward(way, chunk);
  }

  #forward(way: Way, chunk: Buffer): void {
    if (way.to.destroyed) return;
    if (way.to.write(chunk)) return;
    way.from.pause();
    way.to.once("drain", () => way.from.resume());
  }
}
