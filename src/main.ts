/** Wires everything: data folder, node, listeners, HTTP, signals. */
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AccessControl } from "./access/access-control.ts";
import { adminRoutes } from "./admin-routes.ts";
import { ADMIN_SOCKET } from "./cli/admin-client.ts";
import { ExitCode } from "./cli/exit-code.ts";
import type { Config } from "./config.ts";
import { httpAddress } from "./config-address.ts";
import { EdgeNode } from "./edge-node.ts";
import { OperatingError } from "./lib/operating-error.ts";
import { Listeners } from "./listeners.ts";
import { AdminServer } from "./net/admin-server.ts";
import { type HttpServer, startHttpServer } from "./net/http-server.ts";
import { letOptimize, letYoungGrow } from "./start-memory.ts";
import { type DataFolder, openDataFolder } from "./store/data-folder.ts";
import { StoreWatch } from "./store-watch.ts";
import { createLog, type Log } from "./telemetry/log.ts";
import { createMetrics } from "./telemetry/metrics.ts";

/** Exit codes for the errors of a start; others are bugs. */
const EXIT_CODES: Readonly<Record<string, ExitCode>> = {
  "cannot-listen": ExitCode.cannotListen,
  "data-folder-unusable": ExitCode.dataUnusable,
  "store-damaged": ExitCode.dataUnusable,
  "data-folder-in-use": ExitCode.dataInUse,
  "users-file-damaged": ExitCode.usage,
  "rules-file-damaged": ExitCode.usage,
};

/** Longest a stop may take before the process ends anyway. */
const STOP_MS = 10_000;

/** What LMDB rejects a promise of its own with when a commit failed, beside the one that is handled. */
const isCommitFailure = (reason: unknown): boolean =>
  reason instanceof Error &&
  ("commitError" in reason || /^(Commit failed|MDB_)/.test(reason.message));

/** Runs the broker until SIGTERM or SIGINT; resolves with the exit code. Never rejects. */
export async function serve(
  config: Config,
  explicit: { readonly httpGiven: boolean },
): Promise<number> {
  letOptimize();
  const log = createLog(config.log.level);
  // Nothing that the broker makes is for others.
  process.umask(0o077);
  let server: Server | undefined;
  const onBug = (error: unknown): void => {
    const stack = error instanceof Error ? error.stack : String(error);
    log("error", "bug: the process ends, the store survives it", { stack });
    server?.onCrash(error);
    process.exit(ExitCode.negative);
  };
  process.on("uncaughtException", onBug);
  process.on("unhandledRejection", (reason) => {
    // A failed commit of LMDB rejects promises of its own; the store has reported it already.
    if (isCommitFailure(reason)) return;
    onBug(reason);
  });
  // Before anybody is told that the broker is there, and so may want it to stop.
  const stopSignal = new Promise<string>((resolve) => {
    // They stay listened to: a second signal (from a supervisor that tells the whole process group, too) must not cut draining short.
    process.on("SIGTERM", () => resolve("SIGTERM"));
    process.on("SIGINT", () => resolve("SIGINT"));
  });
  const opening = new Server(config, explicit.httpGiven, log, onBug);
  server = opening;
  process.on("SIGHUP", () => opening.reload());
  try {
    await opening.open();
  } catch (error) {
    // A start that fails in a way that nobody can name stays marked as unfinished.
    await opening.close(isNamed(error));
    return failedStart(log, error, onBug);
  }
  const signal = await stopSignal;
  log("info", "stopping", { signal });
  setTimeout(() => onBug(new Error("stopping took too long")), STOP_MS).unref();
  await opening.close(true);
  log("info", "stopped");
  return ExitCode.fine;
}

const isNamed = (error: unknown): boolean =>
  error instanceof OperatingError && EXIT_CODES[error.code] !== undefined;

function failedStart(log: Log, error: unknown, onBug: (error: unknown) => void): number {
  const exitCode = error instanceof OperatingError ? EXIT_CODES[error.code] : undefined;
  if (error instanceof OperatingError && exitCode !== undefined) {
    log("error", error.message, { code: error.code });
    return exitCode;
  }
  onBug(error);
  return ExitCode.negative;
}

class Server {
  readonly #config: Config;
  readonly #httpGiven: boolean;
  readonly #log: Log;
  readonly #onBug: (error: unknown) => void;
  #access: AccessControl | undefined;
  #listeners: Listeners | undefined;
  #folder: DataFolder | undefined;
  #watch: StoreWatch | undefined;
  #node: EdgeNode | undefined;
  #http: HttpServer | undefined;
  #admin: AdminServer | undefined;

  constructor(config: Config, httpGiven: boolean, log: Log, onBug: (error: unknown) => void) {
    this.#config = config;
    this.#httpGiven = httpGiven;
    this.#log = log;
    this.#onBug = onBug;
  }

  async open(): Promise<void> {
    const access = await openAccess(this.#config, this.#log);
    this.#access = access;
    const folder = openDataFolder(this.#config.data);
    this.#folder = folder;
    if (this.#config.access.usersFile !== undefined) access.keepSecretIn(folder.path);
    rmSync(runFileOf(folder), { force: true });
    const { path, storePath } = folder;
    const watch = new StoreWatch({ folder: path, storePath, log: this.#log });
    await watch.begin();
    this.#watch = watch;
    const node = this.#createNode(folder, access, watch);
    this.#node = node;
    access.listen(node);
    await node.open();
    const listeners = this.#createListeners(node);
    this.#listeners = listeners;
    await listeners.open();
    await this.#serveHttp(node, listeners);
    await this.#openAdmin(node, folder);
    watch.ready();
    letYoungGrow();
    this.#announce(folder);
  }

  /** The process is about to end because of a bug, or of what it read. */
  onCrash(error: unknown): void {
    this.#watch?.onCrash(error);
  }

  /** `isOrderly`: the end is no sign of a damaged store. */
  async close(isOrderly: boolean): Promise<void> {
    this.#access?.close();
    this.#listeners?.stopAccepting();
    await this.#node?.close();
    this.#listeners?.close();
    await this.#http?.close();
    await this.#admin?.close();
    if (isOrderly) this.#watch?.end();
    if (this.#folder === undefined) return;
    rmSync(runFileOf(this.#folder), { force: true });
    this.#folder.close();
  }

  #createNode(folder: DataFolder, access: AccessControl, watch: StoreWatch): EdgeNode {
    return new EdgeNode({
      config: this.#config,
      storePath: folder.storePath,
      log: this.#log,
      authenticator: access.authenticator,
      enhancedAuthenticator: access.enhancedAuthenticator,
      authorizer: access.authorization,
      observeFlush: (seconds) => this.#observeFlush(seconds),
      traffic: () => this.#listeners?.traffic ?? { bytesReceived: 0, bytesSent: 0, opened: 0 },
      dropConnections: () => this.#listeners?.dropAll(),
      mendStore: () => watch.mend(),
    });
  }

  /** Replaced when the metrics are there. */
  #observeFlush: (seconds: number) => void = () => undefined;

  /** SIGHUP: reads again what may have changed on disk. */
  reload(): void {
    this.#log("info", "reloading");
    this.#listeners?.reload();
    this.#access?.reload();
  }

  #createListeners(node: EdgeNode): Listeners {
    return new Listeners({
      config: this.#config,
      node,
      log: this.#log,
      onBug: this.#onBug,
    });
  }

  async #serveHttp(node: EdgeNode, listeners: Listeners): Promise<void> {
    const address = httpAddress(this.#config);
    if (address === undefined) return;
    const metrics = createMetrics({ ...node.metrics(), network: () => listeners.metrics() });
    this.#observeFlush = metrics.observeFlush;
    this.#http = await startHttpServer({
      ...address,
      fallBackToFreePort: !this.#httpGiven,
      isReady: () => node.isReady,
      isHealthy: () => node.isHealthy,
      metrics,
    });
    const { url } = this.#http;
    if (!url.endsWith(`:${address.port}`) && address.port !== 0) {
      this.#log("warn", "the HTTP port is taken: serving on another", { url });
    }
  }

  /** Without it devices are served all the same. */
  async #openAdmin(node: EdgeNode, folder: DataFolder): Promise<void> {
    try {
      const path = join(folder.path, ADMIN_SOCKET);
      this.#admin = await AdminServer.open(path, adminRoutes(node), this.#onBug);
    } catch (error) {
      this.#log("error", "no admin channel: rillmq commands cannot reach this broker", { error });
    }
  }

  /** Tells the world, and `rillmq status`, that clients may come. */
  #announce(folder: DataFolder): void {
    const urls = this.#listeners?.urls ?? [];
    const http = this.#http?.url;
    const run = { pid: process.pid, urls, ...(http === undefined ? {} : { http }) };
    const path = runFileOf(folder);
    writeFileSync(`${path}.new`, `${JSON.stringify(run)}\n`, { mode: 0o600 });
    renameSync(`${path}.new`, path);
    process.stdout.write(`ready pid=${process.pid} ${[...urls, http ?? ""].join(" ").trim()}\n`);
  }
}

/** What reads rules brings a parser of YAML and a schema along: loaded only where there are rules. */
async function openAccess({ access }: Config, log: Log): Promise<AccessControl> {
  if (access.rulesFile === undefined) return new AccessControl(access, log, () => []);
  const { readRules } = await import("./access/rules-file.ts");
  return new AccessControl(access, log, readRules);
}

const runFileOf = (folder: DataFolder): string => join(folder.path, "rillmq.json");
