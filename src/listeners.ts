/** From configuration to listeners: where, with which certificate, within which bounds. */
import type { Config, TlsConfig } from "./config.ts";
import { isLoopback, listenerEndpoint, networkOf } from "./config-address.ts";
import type { EdgeNode, Traffic } from "./edge-node.ts";
import { OperatingError } from "./lib/operating-error.ts";
import { allowsAnonymous } from "./listener-access.ts";
import { Admission } from "./net/admission.ts";
import type { Certificate, CertificateWatch } from "./net/certificate.ts";
import { Listener, type ListenerOptions } from "./net/listener.ts";
import { NetworkCounters } from "./net/network-counters.ts";
import { OutputBudget } from "./net/output-budget.ts";
import type { WebSocketProtocol } from "./net/websocket-stage.ts";
import type { Log } from "./telemetry/log.ts";
import type { NetworkView } from "./telemetry/metrics-source.ts";

type ListenerConfig = Config["listeners"][number];

const UNIX_MODE = "0600";

export interface ListenersOptions {
  readonly config: Config;
  readonly node: EdgeNode;
  readonly log: Log;
  readonly onBug: (error: unknown) => void;
}

/** All listeners of the configuration. */
export class Listeners {
  readonly #counters = new NetworkCounters();
  readonly #options: ListenersOptions;
  readonly #admission: Admission;
  readonly #budget: OutputBudget;
  readonly #listeners: Listener[] = [];
  readonly #watches: CertificateWatch[] = [];

  constructor(options: ListenersOptions) {
    this.#options = options;
    const { mqtt } = options.config;
    this.#budget = new OutputBudget(mqtt.outputBytesTotalMax);
    const limits = {
      perAddressMax: mqtt.connectionsPerAddressMax,
      unauthenticatedMax: mqtt.unauthenticatedConnectionsMax,
    };
    this.#admission = new Admission(limits, this.#counters);
  }

  /** The URLs that they really listen on, in the order of the configuration. */
  get urls(): string[] {
    return this.#listeners.map((listener) => listener.url);
  }

  /**
   * Listens.
   * @throws OperatingError `cannot-listen`; those that do listen are to be closed
   */
  async open(): Promise<void> {
    for (const listener of this.#options.config.listeners) await this.#openOne(listener);
  }

  /** What went through since the start. */
  get traffic(): Traffic {
    return this.#counters;
  }

  /** What came and went, what was refused or ended, and certificates read while running. */
  metrics(): NetworkView {
    const counters = this.#counters;
    const { bytesReceived, bytesSent, opened } = counters;
    return {
      bytesReceived,
      bytesSent,
      bytesWaiting: this.#budget.bytes,
      opened,
      dropped: [
        ["too-many-from-address", counters.tooManyFromAddress],
        ["unauthenticated-shed", counters.unauthenticatedShed],
        ["handshake-timeout", counters.handshakeTimeouts],
        ["handshake-failed", counters.handshakesFailed],
        ["bad-proxy-header", counters.badProxyHeaders],
        ["not-accepted", counters.notAccepted],
        ["bad-frame", counters.badFrames],
        ["write-stalled", counters.writesStalled],
      ],
      certificates: [
        ["loaded", counters.certificatesLoaded],
        ["failed", counters.certificatesFailed],
      ],
    };
  }

  /** Reads all certificates again. */
  reload(): void {
    for (const watch of this.#watches) watch.reload();
  }

  /** Takes no more connections; those that are there stay. */
  stopAccepting(): void {
    for (const watch of this.#watches) watch.close();
    for (const listener of this.#listeners) listener.stopAccepting();
  }

  /** Destroys all connections; new ones are taken. */
  dropAll(): void {
    for (const listener of this.#listeners) listener.dropAll();
  }

  /** Takes no more connections and ends what is left. */
  close(): void {
    for (const listener of this.#listeners) listener.close();
  }

  async #openOne(config: ListenerConfig): Promise<void> {
    const endpoint = listenerEndpoint(config.url);
    if ("reason" in endpoint) throw new RangeError(endpoint.reason);
    const tls = config.tls ?? this.#options.config.tls;
    const isLocal = endpoint.kind === "unix" || isLoopback(endpoint.host);
    const { allowAnonymous, access, mqtt, native } = this.#options.config;
    const isNative = endpoint.kind === "websocket" && endpoint.isNative;
    const protocols: readonly WebSocketProtocol[] = isNative
      ? ["rill"]
      : (config.protocols ?? ["mqtt"]);
    const settings = { allowAnonymous, hasUsersFile: access.usersFile !== undefined };
    const mayBeAnonymous = allowsAnonymous(settings, config);
    const isSecure = endpoint.kind !== "unix" && endpoint.isSecure && tls !== undefined;
    let listener: Listener | undefined;
    const watch = isSecure
      ? await this.#watch(config.url, tls, ({ context }) => listener?.renew(context))
      : undefined;
    if (watch !== undefined) this.#watches.push(watch);
    listener = await Listener.open({
      ...this.#common(),
      accept: (link) => this.#options.node.accept(link, mayBeAnonymous),
      acceptNative: (link, subprotocol) =>
        this.#options.node.acceptNative(link, subprotocol, mayBeAnonymous),
      packetBytesMax: Math.max(
        protocols.includes("mqtt") ? mqtt.maxPacketBytes : 0,
        protocols.includes("rill") ? native.frameBytesMax : 0,
      ),
      bind:
        endpoint.kind === "unix"
          ? { path: endpoint.path, mode: Number.parseInt(config.mode ?? UNIX_MODE, 8) }
          : { host: endpoint.host, port: endpoint.port },
      proxies: config.proxyProtocol?.from.flatMap((text) => networkOf(text) ?? []),
      tls:
        isSecure && watch !== undefined
          ? { context: watch.first.context, requestClientCert: tls.requestClientCert }
          : undefined,
      webSocket:
        endpoint.kind === "websocket"
          ? { path: endpoint.path, protocols, origins: config.origins, isLoopback: isLocal }
          : undefined,
    });
    this.#listeners.push(listener);
  }

  #common(): Omit<
    ListenerOptions,
    "accept" | "acceptNative" | "packetBytesMax" | "bind" | "proxies" | "tls" | "webSocket"
  > {
    const { config, node, onBug } = this.#options;
    const { mqtt } = config;
    return {
      turn: node.turn,
      counters: this.#counters,
      admission: this.#admission,
      budget: this.#budget,
      outputBytesMax: mqtt.outputBytesMax,
      writeTimeoutMs: mqtt.writeTimeoutMs,
      connectPacketBytesMax: Math.min(mqtt.maxPacketBytes, mqtt.connectPacketBytesMax),
      handshakeTimeoutMs: mqtt.connectTimeoutMs,
      onClosed: (connection) => node.onConnectionClosed(connection),
      onBug,
    };
  }

  async #watch(
    url: string,
    tls: TlsConfig,
    onLoaded: (certificate: Certificate) => void,
  ): Promise<CertificateWatch> {
    const { log } = this.#options;
    const counters = this.#counters;
    const module = await import("./net/certificate.ts");
    try {
      const watch = new module.CertificateWatch({
        settings: { ...tls, ca: tls.ca },
        onLoaded: (certificate) => {
          counters.certificatesLoaded++;
          log("info", "certificate loaded", { listener: url, ...validityOf(certificate) });
          onLoaded(certificate);
        },
        onFailed: (reason) => {
          counters.certificatesFailed++;
          const event = "the changed certificate cannot be used: the one before stays";
          log("error", event, { listener: url, reason });
        },
      });
      this.#warnOfAge(url, watch.first);
      return watch;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const text = `cannot listen on ${url}: ${why}`;
      throw new OperatingError("cannot-listen", text, { cause: error });
    }
  }

  #warnOfAge(url: string, certificate: Certificate): void {
    if (certificate.notAfterMs > Date.now()) return;
    const fields = { listener: url, ...validityOf(certificate) };
    this.#options.log("warn", "the certificate has expired: clients will refuse it", fields);
  }
}

const validityOf = ({ notAfterMs }: Certificate): { readonly notAfter: string } => ({
  notAfter: new Date(notAfterMs).toISOString(),
});
