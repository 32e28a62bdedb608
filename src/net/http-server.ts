import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { OperatingError } from "../lib/operating-error.ts";

/** What the HTTP server shows. */
export interface HttpServerOptions {
  /** Name or IP address, without brackets. */
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** True: a taken port gives way to a free one. */
  readonly fallBackToFreePort: boolean;
  /** Recovered and accepting. */
  readonly isReady: () => boolean;
  /** False when the store has failed for good. */
  readonly isHealthy: () => boolean;
  /** The metrics in the text format of Prometheus. */
  readonly metrics: { readonly contentType: string; text(): Promise<string> };
}

export interface HttpServer {
  /** Where it really listens, `http://127.0.0.1:9883`. */
  readonly url: string;
  /** Ends all connections; resolves when none is left. */
  close(): Promise<void>;
}

const HEADER_BYTES_MAX = 8_192;
const REQUEST_TIMEOUT_MS = 10_000;
const IDLE_TIMEOUT_MS = 5_000;
const CONNECTIONS_MAX = 100;

const TEXT = "text/plain; charset=utf-8";

function respond(response: ServerResponse, status: number, text: string, type = TEXT): void {
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(text),
    "cache-control": "no-store",
  });
  response.end(response.req.method === "HEAD" ? undefined : text);
}

async function handle(
  options: HttpServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? "").split("?", 1)[0];
  if (path !== "/healthz" && path !== "/readyz" && path !== "/metrics") {
    respond(response, 404, "not found: /healthz, /readyz and /metrics are here\n");
    return;
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    respond(response, 405, "only GET and HEAD\n");
    return;
  }
  if (path === "/healthz") {
    const isHealthy = options.isHealthy();
    respond(response, isHealthy ? 200 : 503, isHealthy ? "healthy\n" : "the store has failed\n");
  } else if (path === "/readyz") {
    const isReady = options.isReady();
    respond(response, isReady ? 200 : 503, isReady ? "ready\n" : "not ready\n");
  } else {
    respond(response, 200, await options.metrics.text(), options.metrics.contentType);
  }
}

function listen(server: Server, host: string, port: number): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.removeListener("error", reject);
      resolve(server.address() as AddressInfo);
    });
  });
}

const isPortTaken = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "EADDRINUSE";

/**
 * Serves `/healthz`, `/readyz` and `/metrics`, and nothing else. Without authentication: they show no message and no secret.
 * @throws OperatingError `cannot-listen`
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const server = createServer(
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: IDLE_TIMEOUT_MS,
    },
    (request, response) => {
      handle(options, request, response).catch(() => {
        if (response.headersSent) response.destroy();
        else respond(response, 500, "the metrics could not be collected\n");
      });
    },
  );
  server.maxConnections = CONNECTIONS_MAX;
  const { host, port, fallBackToFreePort } = options;
  const address = await listen(server, host, port)
    .catch((error: unknown) => {
      if (!fallBackToFreePort || !isPortTaken(error)) throw error;
      return listen(server, host, 0);
    })
    .catch((cause: unknown) => {
      const why = cause instanceof Error ? cause.message : String(cause);
      const text = `cannot serve HTTP on ${host}:${port}: ${why}`;
      throw new OperatingError("cannot-listen", text, { cause });
    });
  const name = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return {
    url: `http://${name}:${address.port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
