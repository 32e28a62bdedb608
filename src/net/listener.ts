import { chmodSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import type { SecureContextOptions, TLSSocket } from "node:tls";
import { pathToFileURL } from "node:url";
import { OperatingError } from "../lib/operating-error.ts";
import type { Peer } from "../mqtt/link.ts";
import type { Admission, Ticket } from "./admission.ts";
import { type Network, ProxyStage, plainAddress } from "./proxy-stage.ts";
import { type ServeOptions, serveStream } from "./serve-stream.ts";
import type { serveWebSocket } from "./serve-websocket.ts";
import { acceptShared } from "./shared-read.ts";
import type { TlsStage, TlsStageOptions } from "./tls-stage.ts";
import { clearSocketPath } from "./unix-socket.ts";
import type { WebSocketStage, WebSocketStageOptions } from "./websocket-stage.ts";

/** Where a listener is. */
export type Bind =
  /** Port 0: any free one. */
  | { readonly host: string; readonly port: number }
  /** A unix socket, made with these permissions. */
  | { readonly path: string; readonly mode: number };

export interface ListenerOptions extends ServeOptions {
  readonly bind: Bind;
  /** From these networks every connection begins with a PROXY header; undefined: from nowhere. */
  readonly proxies: readonly Network[] | undefined;
  /** Undefined: no TLS. */
  readonly tls: Omit<TlsStageOptions, "protocols" | "onFailed"> | undefined;
  /** Undefined: MQTT without WebSocket. */
  readonly webSocket: Omit<WebSocketStageOptions, "onFailed"> | undefined;
  readonly admission: Admission;
  /** How long the PROXY header and the handshakes of TLS and WebSocket may take together. */
  readonly handshakeTimeoutMs: number;
}

/** Idle time after which the kernel asks whether the peer is still there: no half-open connection stays for ever. */
const TCP_KEEP_ALIVE_MS = 120_000;
const BACKLOG = 1_024;

/** What is only loaded where a listener needs it. */
interface Stages {
  readonly tls: TlsStage | undefined;
  readonly certificateSubjectOf: ((socket: TLSSocket) => string | undefined) | undefined;
  readonly webSocket: WebSocketStage | undefined;
  readonly serveWebSocket: typeof serveWebSocket | undefined;
}

async function loadStages(options: ListenerOptions): Promise<Stages> {
  const { tls, webSocket, counters } = options;
  const onFailed = (): void => {
    counters.handshakesFailed++;
  };
  const tlsModule = tls === undefined ? undefined : await import("./tls-stage.ts");
  const stageModule = webSocket === undefined ? undefined : await import("./websocket-stage.ts");
  const serveModule = webSocket === undefined ? undefined : await import("./serve-websocket.ts");
  const protocols = webSocket === undefined ? ["mqtt"] : ["http/1.1"];
  return {
    tls: tls && tlsModule && new tlsModule.TlsStage({ ...tls, protocols, onFailed }),
    certificateSubjectOf: tlsModule?.certificateSubjectOf,
    webSocket:
      webSocket && stageModule && new stageModule.WebSocketStage({ ...webSocket, onFailed }),
    serveWebSocket: serveModule?.serveWebSocket,
  };
}

/** Where a socket keeps what it is counted by. */
const TICKET = Symbol("ticket");

interface TicketedSocket extends Socket {
  [TICKET]?: Ticket;
}

/** What went wrong is told by "close"; a reset is nothing special. */
const ignore = (): void => undefined;

/** Accepts MQTT over TCP, TLS, WebSocket and unix sockets, and the native protocol over WebSocket. */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #stages: Stages;
  readonly #proxy: ProxyStage | undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** One for all sockets. */
  readonly #onClose: (this: TicketedSocket) => void;

  private constructor(options: ListenerOptions, stages: Stages) {
    this.#options = options;
    this.#stages = stages;
    this.#proxy = options.proxies === undefined ? undefined : new ProxyStage(options.proxies);
    const sockets = this.#sockets;
    this.#onClose = function onClose(this: TicketedSocket) {
      sockets.delete(this);
      if (this[TICKET] !== undefined) options.admission.release(this[TICKET]);
    };
    this.#server = createServer(
      { noDelay: true, keepAlive: true, keepAliveInitialDelay: TCP_KEEP_ALIVE_MS },
      (socket) => this.#take(socket),
    );
  }

  /**
   * Listens.
   * @throws OperatingError `cannot-listen`
   */
  static async open(options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(options, await loadStages(options));
    const { bind } = options;
    const taken = "path" in bind ? await clearSocketPath(bind.path) : undefined;
    if (taken !== undefined) throw listener.#cannotListen(taken);
    await listener.#bind();
    if ("path" in bind) chmodSync(bind.path, bind.mode);
    return listener;
  }

  /** The URL that it really listens on. */
  get url(): string {
    const { bind, webSocket } = this.#options;
    if ("path" in bind) return `unix://${pathToFileURL(bind.path).pathname}`;
    const address = this.#server.address();
    if (address === null || typeof address === "string") return `${this.#scheme}://closed`;
    const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
    return `${this.#scheme}://${host}:${address.port}${webSocket?.path ?? ""}`;
  }

  /** Connections from now on get this certificate. */
  renew(context: SecureContextOptions): void {
    this.#stages.tls?.renew(context);
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

  get #scheme(): string {
    const { tls, webSocket } = this.#options;
    const isNative = webSocket?.protocols.includes("mqtt") === false;
    const plain = webSocket === undefined ? "mqtt" : isNative ? "rill" : "ws";
    return tls === undefined ? plain : `${plain}s`;
  }

  /** No stage reads before the protocol does, but for the handshake of WebSocket, which Node's HTTP parser takes from the handle itself. */
  get #isPlain(): boolean {
    return this.#proxy === undefined && this.#stages.tls === undefined;
  }

  #cannotListen(why: string, cause?: unknown): OperatingError {
    const { bind, webSocket } = this.#options;
    const where =
      "path" in bind
        ? `unix://${bind.path}`
        : `${this.#scheme}://${bind.host}:${bind.port}${webSocket?.path ?? ""}`;
    return new OperatingError("cannot-listen", `cannot listen on ${where}: ${why}`, { cause });
  }

  #bind(): Promise<void> {
    const { bind } = this.#options;
    const server = this.#server;
    return new Promise((resolve, reject) => {
      const onError = (error: NodeJS.ErrnoException): void => {
        const why = error.code === "EADDRINUSE" ? "the port is in use" : error.message;
        reject(this.#cannotListen(why, error));
      };
      server.once("error", onError);
      server.listen({ ...("path" in bind ? { path: bind.path } : bind), backlog: BACKLOG }, () => {
        server.off("error", onError);
        server.on("error", () => undefined);
        if (this.#isPlain) {
          acceptShared(server, TCP_KEEP_ALIVE_MS / 1_000, (socket) => this.#take(socket));
        }
        resolve();
      });
    });
  }

  #take(socket: Socket): void {
    const { admission } = this.#options;
    socket.on("error", ignore);
    this.#options.counters.opened++;
    const isProxied = this.#proxy?.isProxy(socket) === true;
    const ticket = admission.admit(socket, isProxied ? undefined : socket.remoteAddress);
    if (ticket === undefined) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    (socket as TicketedSocket)[TICKET] = ticket;
    socket.on("close", this.#onClose);
    const own =
      "path" in this.#options.bind ? "unix" : plainAddress(socket.remoteAddress ?? "gone");
    const { tls, webSocket } = this.#stages;
    const isAtOnce = !isProxied && tls === undefined && webSocket === undefined;
    const timer = isAtOnce ? undefined : this.#deadline(socket);
    if (isProxied) this.#unwrap(ticket, own, timer);
    else this.#handshake(ticket, own, timer);
  }

  /** Until it is cleared the socket has this long. */
  #deadline(socket: Socket): NodeJS.Timeout {
    const { counters, handshakeTimeoutMs } = this.#options;
    const timer = setTimeout(() => {
      counters.handshakeTimeouts++;
      socket.destroy();
    }, handshakeTimeoutMs);
    socket.once("close", () => clearTimeout(timer));
    return timer;
  }

  /** A trusted proxy: whom does it forward? */
  #unwrap(ticket: Ticket, own: string, timer: NodeJS.Timeout | undefined): void {
    const { socket } = ticket;
    const { counters, admission } = this.#options;
    this.#proxy?.take(socket, (header) => {
      if (header === undefined) counters.badProxyHeaders++;
      const address = header?.address === undefined ? undefined : plainAddress(header.address);
      const isFine =
        header !== undefined && (address === undefined || admission.count(ticket, address));
      if (isFine) this.#handshake(ticket, address ?? own, timer);
      else socket.destroy();
    });
  }

  /** TLS, where there is such. */
  #handshake(ticket: Ticket, address: string, timer: NodeJS.Timeout | undefined): void {
    const { socket } = ticket;
    const { tls, certificateSubjectOf } = this.#stages;
    if (tls === undefined) {
      this.#serve(ticket, socket, { address, certificateSubject: undefined }, timer);
      return;
    }
    tls.take(socket, (secured) => {
      secured.on("error", ignore);
      const certificateSubject = certificateSubjectOf?.(secured);
      this.#serve(ticket, secured, { address, certificateSubject }, timer);
    });
  }

  /** WebSocket, where there is such, and then the protocol. */

  #serve(ticket: Ticket, stream: Socket, peer: Peer, deadline: NodeJS.Timeout | undefined): void {
    const { socket } = ticket;
    const options = this.#options;
    const { webSocket, serveWebSocket } = this.#stages;
    if (webSocket === undefined || serveWebSocket === undefined) {
      clearTimeout(deadline);
      ticket.connection = serveStream(options, socket, stream, peer);
      return;
    }
    webSocket.take(stream, (opened) => {
      clearTimeout(deadline);
      ticket.connection = serveWebSocket(options, socket, stream, opened, peer);
    });
  }
}
