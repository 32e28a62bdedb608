/**
 * The admin channel: HTTP with JSON over a unix socket in the data folder, for its owner only. Every command that talks to a
 * running broker goes through it. Who can open the socket may do everything: the file's mode is the authorization.
 */
import { chmodSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { OperatingError } from "../lib/operating-error.ts";

/** What a handler gets. */
export interface AdminRequest {
  /** By name, from the pattern: `/uplinks/:name`. Decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Parsed JSON; undefined when there was none. */
  readonly body: unknown;
}

/** A refusal with an HTTP status, told to the caller as `{ "error": message }`. */
export class AdminError extends Error {
  override readonly name = "AdminError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Returns what is sent as JSON; throws AdminError to refuse. */
export type AdminHandler = (request: AdminRequest) => unknown;

/** Handlers by method and pattern, such as `GET /uplinks/:name`. */
export type AdminRoutes = ReadonlyMap<string, AdminHandler>;

const BODY_BYTES_MAX = 1_048_576;
const CONNECTIONS_MAX = 32;
const REQUEST_TIMEOUT_MS = 10_000;
/** What paths are resolved against; it appears nowhere. */
const ORIGIN = "http://admin";
/** Longest path of a unix socket on Linux, in bytes, without the closing zero. */
const PATH_BYTES_MAX = 107;

interface Route {
  readonly method: string;
  readonly parts: readonly string[];
  readonly handler: AdminHandler;
}

export class AdminServer {
  readonly #server: Server;
  readonly #routes: readonly Route[];
  readonly #path: string;
  readonly #onBug: (error: unknown) => void;

  private constructor(path: string, routes: AdminRoutes, onBug: (error: unknown) => void) {
    this.#path = path;
    this.#routes = [...routes].map(([name, handler]) => {
      const [method = "", pattern = ""] = name.split(" ");
      return { method, parts: pattern.split("/").slice(1), handler };
    });
    this.#onBug = onBug;
    this.#server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
      void this.#answer(request, response);
    });
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  /**
   * Listens at `path`, which nobody else uses: the data folder is locked, so what is there is left over.
   * @throws OperatingError `cannot-listen`
   */
  static async open(
    path: string,
    routes: AdminRoutes,
    onBug: (error: unknown) => void,
  ): Promise<AdminServer> {
    if (Buffer.byteLength(path) > PATH_BYTES_MAX) {
      const text = `cannot listen on ${path}: longer than ${PATH_BYTES_MAX} bytes; use a shorter data folder`;
      throw new OperatingError("cannot-listen", text);
    }
    rmSync(path, { force: true });
    const admin = new AdminServer(path, routes, onBug);
    await new Promise<void>((resolve, reject) => {
      const onError = (error: Error): void => {
        const text = `cannot listen on ${path}: ${error.message}`;
        reject(new OperatingError("cannot-listen", text, { cause: error }));
      };
      admin.#server.once("error", onError);
      // The socket is made inside this call; nobody but its owner may ever open it.
      const mask = process.umask(0o177);
      admin.#server.listen(path, () => {
        admin.#server.off("error", onError);
        resolve();
      });
      process.umask(mask);
    });
    chmodSync(path, 0o600);
    return admin;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    this.#server.closeAllConnections();
    await closed;
    rmSync(this.#path, { force: true });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      send(response, 200, await this.#handle(request));
    } catch (error) {
      if (error instanceof AdminError) {
        send(response, error.status, { error: error.message });
        return;
      }
      send(response, 500, { error: "internal error" });
      this.#onBug(error);
    }
  }

  async #handle(request: IncomingMessage): Promise<unknown> {
    const url = urlOf(request);
    const parts = url.pathname.split("/").slice(1);
    let isKnown = false;
    for (const route of this.#routes) {
      const params = match(route.parts, parts);
      if (params === undefined) continue;
      isKnown = true;
      if (route.method !== request.method) continue;
      return route.handler({ params, query: url.searchParams, body: await bodyOf(request) });
    }
    throw isKnown
      ? new AdminError(405, `${request.method} is not for ${url.pathname}`)
      : new AdminError(404, `there is no ${url.pathname}`);
  }
}

/** @throws AdminError for a target that is none, such as `//` */
function urlOf(request: IncomingMessage): URL {
  const target = request.url ?? "/";
  if (URL.canParse(target, ORIGIN)) return new URL(target, ORIGIN);
  throw new AdminError(400, "the path is not well formed");
}

function match(
  pattern: readonly string[],
  parts: readonly string[],
): Record<string, string> | undefined {
  if (pattern.length !== parts.length) return undefined;
  const params: Record<string, string> = {};
  for (const [i, expected] of pattern.entries()) {
    const part = parts[i] ?? "";
    if (!expected.startsWith(":")) {
      if (expected !== part) return undefined;
      continue;
    }
    try {
      params[expected.slice(1)] = decodeURIComponent(part);
    } catch {
      throw new AdminError(400, "the path is not well formed");
    }
  }
  return params;
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > BODY_BYTES_MAX) throw new AdminError(413, "the body is too large");
      chunks.push(chunk);
    }
  } catch (error) {
    // Who asked is gone: that is no bug of ours.
    throw error instanceof AdminError ? error : new AdminError(400, "the body has no end");
  }
  if (bytes === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw new AdminError(400, "the body is not JSON");
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  if (response.headersSent || response.destroyed) return;
  const text = `${JSON.stringify(body ?? null)}\n`;
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
  });
  response.end(text);
}
