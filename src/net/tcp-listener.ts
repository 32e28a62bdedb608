import { createServer, type Server, type Socket } from "node:net";
import { OperatingError } from "../lib/operating-error.ts";
import type { MqttConnection } from "../mqtt/connection.ts";
import type { Link } from "../mqtt/link.ts";
import { SocketLink } from "./socket-link.ts";
import type { Turn } from "./turn.ts";

export interface ListenerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly turn: Turn;
  /** Write budget per connection, in bytes. */
  readonly outputBytesMax: number;
  /** A new protocol state for a new network connection; undefined: it is refused (too many, or not ready). */
  readonly accept: (link: Link) => MqttConnection | undefined;
  /** A connection that `accept` made is gone. */
  readonly onClosed: (connection: MqttConnection) => void;
  /** Something in the protocol's own code broke: a bug. */
  readonly onBug: (error: unknown) => void;
}

/** Accepts MQTT over TCP. */
export class TcpListener {
  readonly #options: ListenerOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(options: ListenerOptions) {
    this.#options = options;
    this.#server = createServer({ noDelay: true, keepAlive: true }, (socket) =>
      this.#onSocket(socket),
    );
  }

  /**
   * Listens.
   * @throws OperatingError `cannot-listen`
   */
  static async open(options: ListenerOptions): Promise<TcpListener> {
    const listener = new TcpListener(options);
    const server = listener.#server;
    await new Promise<void>((resolve, reject) => {
      const onError = (error: NodeJS.ErrnoException): void => {
        const where = `mqtt://${options.host}:${options.port}`;
        const why = error.code === "EADDRINUSE" ? "the port is in use" : error.message;
        const text = `cannot listen on ${where}: ${why}`;
        reject(new OperatingError("cannot-listen", text, { cause: error }));
      };
      server.once("error", onError);
      server.listen({ host: options.host, port: options.port, backlog: 1_024 }, () => {
        server.off("error", onError);
        server.on("error", () => undefined);
        resolve();
      });
    });
    return listener;
  }

  /** The URL that it really listens on. */
  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") return "mqtt://closed";
    const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
    return `mqtt://${host}:${address.port}`;
  }

  /** Takes no more connections; those that are there stay. */
  stopAccepting(): void {
    this.#server.close();
  }

  /** Destroys all connections; new ones are taken. */
  dropAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Takes no more connections and ends what is left. */
  close(): void {
    this.#server.close();
    this.dropAll();
  }

  #onSocket(socket: Socket): void {
    const { turn, outputBytesMax, accept, onClosed, onBug } = this.#options;
    let connection: MqttConnection | undefined;
    const link = new SocketLink(socket, turn, outputBytesMax, () => connection?.onRoom());
    connection = accept(link);
    if (connection === undefined) {
      socket.destroy();
      return;
    }
    const accepted = connection;
    this.#sockets.add(socket);
    socket.on("data", (chunk: Buffer) => {
      try {
        accepted.receive(chunk);
      } catch (error) {
        onBug(error);
      }
      turn.schedule();
    });
    // What went wrong is told by "close"; a reset is nothing special.
    socket.on("error", () => undefined);
    socket.on("end", () => socket.end());
    socket.on("close", () => {
      this.#sockets.delete(socket);
      accepted.onClosed();
      onClosed(accepted);
      turn.schedule();
    });
  }
}
