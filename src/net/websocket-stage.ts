import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocket, WebSocketServer } from "ws";
import { SUBPROTOCOLS } from "../native/frame.ts";

/** What a client may offer to speak MQTT, the preferred one first [MQTT-6.0.0-4]. */
const MQTT_SUBPROTOCOLS = ["mqtt", "mqttv3.1"] as const;

/** What may be spoken on a WebSocket. */
export type WebSocketProtocol = "mqtt" | "rill";

const HEADER_BYTES_MAX = 8_192;

/** A WebSocket whose handshake is done. */
export interface OpenedWebSocket {
  /** The subprotocol that was agreed upon. */
  readonly protocol: string;
  /** What was read behind the handshake already; its owner is who gets it. */
  readonly head: Buffer;
}

/** What the library makes of a stream when the handshake is done. It may not read it: that is done in `serve-websocket.ts`. */
class Handshake extends WebSocket {
  setSocket(_stream: Duplex, _head: Buffer): void {}
}

export interface WebSocketStageOptions {
  /** The one path that is served. */
  readonly path: string;
  readonly protocols: readonly WebSocketProtocol[];
  /**
   * Origins of web pages that may connect, `*` for all. Undefined: those of the same host and port as was asked, and programs that
   * are no browsers and send none.
   */
  readonly origins: readonly string[] | undefined;
  /** The listener is on loopback: without `origins`, pages under other names than loopback are refused. */
  readonly isLoopback: boolean;
  /** A handshake was refused or failed. */
  readonly onFailed: () => void;
}

/** The WebSocket handshake, on top of TCP or TLS. */
export class WebSocketStage {
  readonly #options: WebSocketStageOptions;
  readonly #subprotocols: readonly string[];
  readonly #http: Server;
  readonly #webSockets: WebSocketServer;
  readonly #waiting = new WeakMap<Duplex, (opened: OpenedWebSocket) => void>();

  constructor(options: WebSocketStageOptions) {
    this.#options = options;
    this.#subprotocols = [
      ...(options.protocols.includes("mqtt") ? MQTT_SUBPROTOCOLS : []),
      ...(options.protocols.includes("rill") ? SUBPROTOCOLS : []),
    ];
    this.#webSockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      WebSocket: Handshake,
      handleProtocols: (offered) => this.#subprotocols.find((name) => offered.has(name)) ?? false,
    });
    this.#http = createServer({ maxHeaderSize: HEADER_BYTES_MAX }, (request, response) => {
      options.onFailed();
      response.writeHead(426, { upgrade: "websocket", connection: "close" });
      response.end("WebSocket is here, and nothing else\n");
      request.resume();
    });
    this.#http.on("clientError", (_error, stream) => {
      options.onFailed();
      stream.destroy();
    });
    this.#http.on("upgrade", (request, stream, head) => this.#upgrade(request, stream, head));
  }

  /** Runs the handshake; `next` gets what it leads to. The caller has the socket's deadline. */
  take(stream: Socket, next: (opened: OpenedWebSocket) => void): void {
    this.#waiting.set(stream, next);
    this.#http.emit("connection", stream);
  }

  #upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    const next = this.#waiting.get(stream);
    const refusal = next === undefined ? "500 Internal Server Error" : this.#refusal(request);
    if (next === undefined || refusal !== undefined) {
      this.#options.onFailed();
      stream.on("error", () => undefined);
      stream.end(`HTTP/1.1 ${refusal}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    this.#webSockets.handleUpgrade(request, stream, head, ({ protocol }) =>
      next({ protocol, head }),
    );
  }

  /** Status line for a request that is refused; undefined: it is fine so far. */
  #refusal(request: IncomingMessage): string | undefined {
    if (request.url?.split("?", 1)[0] !== this.#options.path) return "404 Not Found";
    const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",");
    // [MQTT-6.0.0-3]
    if (!offered.some((name) => this.#subprotocols.includes(name.trim()))) {
      return `400 Bad Request: subprotocol ${this.#subprotocols[0]} is needed`;
    }
    return this.#mayCome(request) ? undefined : "403 Forbidden: origin";
  }

  #mayCome({ headers }: IncomingMessage): boolean {
    const { origin, host } = headers;
    if (origin === undefined) return true;
    const { origins, isLoopback } = this.#options;
    if (origins !== undefined) return origins.includes("*") || origins.includes(origin);
    if (!URL.canParse(origin)) return false;
    const page = new URL(origin);
    const asked = `${page.protocol}//${host}`;
    if (!URL.canParse(asked) || page.host !== new URL(asked).host) return false;
    // A name of somebody else may be made to lead to loopback.
    return !isLoopback || LOOPBACK.test(page.hostname);
  }
}

const LOOPBACK = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/;
