import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** Most connections at a time; further ones are reset. */
const CONNECTIONS_MAX = 64;

interface Pair {
  readonly edgeSide: Socket;
  readonly centreSide: Socket;
}

/**
 * A TCP proxy between an edge and its centre that fails on demand.
 *
 * States: *open* (bytes pass both ways), *blocked* (bytes from the centre are held, those to it pass: the
 * centre stores, its acknowledgements do not come through), *cut* (every connection is reset and so is every
 * new one). `restore` leads back to open from both.
 */
export class TcpProxy {
  readonly #host: string;
  readonly #port: number;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #state: "open" | "blocked" | "cut" = "open";

  /** Forwards to `host:port`; nothing is opened before `listen`. */
  constructor(target: { readonly host: string; readonly port: number }) {
    this.#host = target.host;
    this.#port = target.port;
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
  }

  /** Listens on a loopback port (0: a free one) and says which. */
  async listen(port = 0): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, "127.0.0.1", resolve);
    });
    return this.port;
  }

  /** Where it listens. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Holds back everything from the centre to the edge, on connections present and future. */
  blockFromCentre(): void {
    this.#state = "blocked";
    for (const { centreSide } of this.#pairs) centreSide.pause();
  }

  /** Resets all connections and every new one. What was held is lost. */
  cut(): void {
    this.#state = "cut";
    for (const pair of this.#pairs) destroy(pair);
  }

  /** Lets everything pass again. */
  restore(): void {
    this.#state = "open";
    for (const { centreSide } of this.#pairs) centreSide.resume();
  }

  /** Resets all connections and stops listening. */
  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #accept(edgeSide: Socket): void {
    edgeSide.on("error", () => edgeSide.destroy());
    if (this.#state === "cut" || this.#pairs.size >= CONNECTIONS_MAX) {
      edgeSide.resetAndDestroy();
      return;
    }
    const centreSide = connect({ host: this.#host, port: this.#port, noDelay: true });
    const pair = { edgeSide, centreSide };
    this.#pairs.add(pair);
    centreSide.on("error", () => destroy(pair));
    for (const socket of [edgeSide, centreSide]) {
      socket.on("close", () => {
        this.#pairs.delete(pair);
        destroy(pair);
      });
    }
    edgeSide.pipe(centreSide);
    // Not pipe: it would resume a side that is held.
    centreSide.on("data", (chunk) => {
      if (!edgeSide.write(chunk)) centreSide.pause();
    });
    centreSide.on("end", () => edgeSide.end());
    edgeSide.on("drain", () => {
      if (this.#state === "open") centreSide.resume();
    });
    if (this.#state === "blocked") centreSide.pause();
  }
}

function destroy(pair: Pair): void {
  if (!pair.edgeSide.destroyed) pair.edgeSide.resetAndDestroy();
  pair.centreSide.destroy();
}
