/**
 * The broker on its store, with its uplinks; and what happens when the store fails. The outcome of a failed commit is
 * unknown, so nothing in memory is trusted any more: all connections end, the store is opened anew and the start-up
 * recovery runs, in this process, again and again until it succeeds.
 */
import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import { LogThrottle } from "./access/log-throttle.ts";
import type { Authenticator, Principal } from "./broker/authenticator.ts";
import type { Authorizer } from "./broker/authorization.ts";
import { Broker } from "./broker/broker.ts";
import { Counters } from "./broker/counters.ts";
import type { EnhancedAuthenticator } from "./broker/enhanced-authenticator.ts";
import type { LogTime } from "./broker/log-time.ts";
import { type AllPatternCounts, newPatternCounts } from "./broker/pattern-counts.ts";
import { brokerKey } from "./broker/session-records.ts";
import type { LogId, Sequence } from "./broker/store.ts";
import type { SystemOptions } from "./broker/sys-topics.ts";
import { buildUplinks } from "./build-uplinks.ts";
import type { Config } from "./config.ts";
import { OperatingError } from "./lib/operating-error.ts";
import { SeededRandom } from "./lib/random.ts";
import { openLogTime } from "./log-clock.ts";
import { MqttConnection } from "./mqtt/connection.ts";
import type { ConnectionOptions } from "./mqtt/connection-options.ts";
import type { Link } from "./mqtt/link.ts";
import { NativeConnection } from "./native/connection.ts";
import type { Subprotocol } from "./native/frame.ts";
import type { NativeLink } from "./native/link.ts";
import type { NativeOptions } from "./native/native-options.ts";
import { RequestCounts } from "./native/request-counts.ts";
import { Turn } from "./net/turn.ts";
import {
  addPatternsTo,
  addTo,
  consumerViews,
  keptCounts,
  queueViews,
  requestView,
  sessionCounts,
  storeSizes,
  streamViews,
  uplinkView,
} from "./node-metrics.ts";
import {
  connectionOptionsOf,
  limitsOf,
  nativeOptionsOf,
  queueSettings,
  routingOf,
  streamSettings,
} from "./node-options.ts";
import { packageVersion } from "./package-version.ts";
import { RandomTokens } from "./random-tokens.ts";
import { openLmdbStore } from "./store/lmdb-store.ts";
import type { LogStore } from "./store/log-store.ts";
import { isDamage } from "./store/salvage/store-damage.ts";
import type { Log } from "./telemetry/log.ts";
import type { MetricsSource } from "./telemetry/metrics-source.ts";
import type { Uplink } from "./uplink/uplink.ts";

/** Between attempts to open the store again. */
const REOPEN_MS = 1_000;
/** Without a store for so long the node is not healthy: whoever watches it may start it anew. */
const UNHEALTHY_MS = 300_000;
const UPLINK_STOP_MS = 1_000;
const SUBSCRIPTION_REVOKED = "the rules do not allow this subscription any more";
const BACKLOG_DROPPED = "a session's backlog is full or too old: oldest messages dropped";
/** Log entries about that; `more` in each says how many were held back. */
const BACKLOG_DROPS_PER_SECOND = 2;
/** Log entries about single subscriptions; their number is told besides. */
const REVOCATIONS_PER_SECOND = 20;
const OBSERVE_TIME_MS = 1_000;
const EDGE_ID_KEY = brokerKey("edgeId");

export interface EdgeNodeOptions {
  readonly config: Config;
  /** The LMDB file. */
  readonly storePath: string;
  readonly log: Log;
  /** Who may come in, and who may do what. */
  readonly authenticator: Authenticator;
  readonly enhancedAuthenticator: EnhancedAuthenticator;
  readonly authorizer: Authorizer;
  /** A commit took so long, in seconds. */
  readonly observeFlush: (seconds: number) => void;
  /** Bytes of MQTT and network connections since the start. */
  readonly traffic: () => Traffic;
  /** All network connections are to be dropped: the store failed. */
  readonly dropConnections: () => void;
  /** The store turned out to be damaged: salvages it. Nobody has it open then. */
  readonly mendStore: (error: unknown) => Promise<void>;
}

/** What went through the listeners since the start. */
export interface Traffic {
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly opened: number;
}

interface Running {
  readonly edgeId: string;
  readonly store: LogStore;
  readonly broker: Broker;
  readonly clock: LogTime;
  uplinks: Uplink[];
}

export class EdgeNode {
  readonly turn: Turn;
  readonly #options: EdgeNodeOptions;
  /** By whether clients without a user name may come in. */
  readonly #connectionOptions: Readonly<Record<"anonymous" | "named", ConnectionOptions>>;
  readonly #connections = new Set<MqttConnection | NativeConnection>();
  #running: Running | undefined;
  #isClosing = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #sealedAt = 0;
  /** Since when there is no store; by the monotonic clock. */
  #downSince: number | undefined;
  readonly #givenUp = new LogThrottle(REVOCATIONS_PER_SECOND, () => performance.now());
  readonly #revocations = new LogThrottle(REVOCATIONS_PER_SECOND, () => performance.now());
  readonly #backlogDrops = new LogThrottle(BACKLOG_DROPS_PER_SECOND, () => performance.now());
  /** When the wall clock was looked at; by the monotonic clock. */
  #observedAt = 0;
  /** Of native clients. */
  readonly #requestCounts = new RequestCounts();
  /** Counters of brokers before the present one. */
  #counters = new Counters();
  readonly #patternCounts = newPatternCounts();
  readonly #tokens = new RandomTokens();

  constructor(options: EdgeNodeOptions) {
    this.#options = options;
    const common = {
      ...connectionOptionsOf(options.config),
      authenticator: this.#authenticator(),
      enhancedAuthenticator: options.enhancedAuthenticator,
    };
    this.#connectionOptions = {
      anonymous: { ...common, allowsAnonymous: true },
      named: { ...common, allowsAnonymous: false },
    };
    this.turn = new Turn(() => {
      this.#running?.broker.endTurn();
      this.#armTimer();
    });
  }

  get isReady(): boolean {
    return this.#running !== undefined && !this.#isClosing;
  }

  /** False when the store failed and could not be opened again for long. */
  get isHealthy(): boolean {
    return this.#downSince === undefined || performance.now() - this.#downSince < UNHEALTHY_MS;
  }

  /** Undefined while the store is being opened. */
  get broker(): Broker | undefined {
    return this.#running?.broker;
  }

  /** Undefined while the store is being opened. */
  get uplinks(): readonly Uplink[] | undefined {
    return this.#running?.uplinks;
  }

  /** What is in use on disk, in bytes, of how much; nothing while there is no store. */
  storeUse(): { usedBytes: number; tableBytes: number; maxBytes: number } {
    const { liveBytes: usedBytes, tableBytes } = storeSizes(this.#running?.store);
    return { usedBytes, tableBytes, maxBytes: this.#options.config.store.maxBytes };
  }

  /** Resolves when all that was staged is on disk; rejects when it cannot be. */
  async flush(): Promise<void> {
    await this.#running?.store.drain();
  }

  /**
   * Opens the store, recovers and starts the uplinks. A store that turns out to be damaged is salvaged first.
   * @throws OperatingError `data-folder-unusable` when the store cannot be opened
   */
  async open(): Promise<void> {
    try {
      await this.#open();
    } catch (error) {
      if (!isDamage(error)) throw error;
      await this.#options.mendStore(error);
      await this.#open();
    }
  }

  async #open(): Promise<void> {
    const { config, storePath } = this.#options;
    const startedAt = performance.now();
    const store = openStore(config, storePath);
    try {
      await this.#recover(store, startedAt);
    } catch (error) {
      await store.close().catch(() => undefined);
      throw error;
    }
  }

  async #recover(store: LogStore, startedAt: number): Promise<void> {
    const { config, log } = this.#options;
    const clock = openLogTime(store, config.time);
    const broker = new Broker({
      store,
      clock,
      limits: limitsOf(config),
      authorizer: this.#options.authorizer,
      streams: config.streams.map((stream) => streamSettings(stream, config)),
      queues: config.queues.map((queue) => queueSettings(queue, config)),
      routing: routingOf(config),
      newToken: () => this.#tokens.next(),
      system: this.#systemOptions(store),
      deliveredBefore: (stream) => this.#deliveredBefore(stream),
      onSealing: () => {
        this.#sealedAt = performance.now();
        clock.seal();
      },
      onTurnCut: () => this.turn.schedule(),
      onFlushed: () => this.#onFlushed(),
      onLoss: (loss) => log("warn", "stream is full: oldest records dropped", { ...loss }),
      onBacklogDropped: (clientId, count) => {
        const more = this.#backlogDrops.admit();
        if (more !== undefined) log("warn", BACKLOG_DROPPED, { clientId, count, more });
      },
      onGivenUp: (from, reason, to) => {
        if (this.#givenUp.admit() === undefined) return;
        log("warn", "a message was given up", { from, reason, to });
      },
      onConsumerLoss: ({ name, stream }, { from, to }) => {
        const fields = { stream: stream.name, consumer: name, from, to };
        log("warn", "a stream gave up records that a consumer had not settled", fields);
      },
      onSubscriptionRevoked: ({ principal: user, clientId }, topicFilter) => {
        if (this.#revocations.admit() === undefined) return;
        log("warn", SUBSCRIPTION_REVOKED, { user, clientId, topicFilter });
      },
      onFailed: (error) => this.#onFailed(error),
    });
    if (!clock.isTrusted) this.#tellTrust(clock);
    const damaged = broker.recover();
    if (damaged > 0) log("error", "damaged records left out", { count: damaged });
    const edgeId = this.#edgeId(store);
    const running: Running = { edgeId, store, broker, clock, uplinks: [] };
    const random = new SeededRandom(randomBytes(4).readUInt32LE());
    running.uplinks = await buildUplinks(config, { edgeId, store, broker, clock, random, log });
    this.#running = running;
    this.#downSince = undefined;
    for (const uplink of running.uplinks) uplink.start();
    this.#armTimer();
    log("info", "store is open", {
      edgeId,
      sessions: broker.sessions.size,
      retained: broker.retained.size,
      tookMs: Math.round(performance.now() - startedAt),
    });
  }

  /**
   * Protocol state for a new network connection; undefined: there are too many, or the store is being opened.
   * `allowsAnonymous`: it came through a listener that lets clients in without a user name.
   */
  accept(link: Link, allowsAnonymous: boolean): MqttConnection | undefined {
    const running = this.#running;
    if (running === undefined || this.#isClosing) return undefined;
    if (this.#connections.size >= this.#options.config.mqtt.connectionsMax) return undefined;
    const options = this.#connectionOptions[allowsAnonymous ? "anonymous" : "named"];
    const connection = new MqttConnection(running.broker, link, options);
    this.#connections.add(connection);
    this.#armTimer();
    return connection;
  }

  /** The same for a connection that speaks the native protocol. */
  acceptNative(
    link: NativeLink,
    subprotocol: Subprotocol,
    allowsAnonymous: boolean,
  ): NativeConnection | undefined {
    const running = this.#running;
    if (running === undefined || this.#isClosing) return undefined;
    if (this.#connections.size >= this.#options.config.mqtt.connectionsMax) return undefined;
    const options: NativeOptions = {
      ...nativeOptionsOf(this.#options.config),
      authenticator: this.#connectionOptions.named.authenticator,
      allowsAnonymous,
      server: `rillmq ${packageVersion()}`,
      edgeId: running.edgeId,
      counts: this.#requestCounts,
    };
    const connection = new NativeConnection(running.broker, link, subprotocol, options);
    this.#connections.add(connection);
    this.#armTimer();
    return connection;
  }

  onConnectionClosed(connection: unknown): void {
    this.#connections.delete(connection as MqttConnection);
  }

  /** The authorizer's answers have changed. */
  onPolicyChanged(): void {
    const count = this.#running?.broker.onPolicyChanged() ?? 0;
    if (count > 0) {
      this.#options.log("warn", "subscriptions ended because the rules changed", { count });
    }
    this.turn.schedule();
  }

  /** Ends the connections of those who may not be here any more. */
  endConnectionsOf(isGone: (principal: Principal) => boolean): void {
    for (const connection of this.#connections) {
      const { session } = connection;
      if (session !== undefined && isGone(session.principal)) {
        connection.end("administrative-action");
      }
    }
    this.turn.schedule();
  }

  /** Ends all connections, flushes what is staged, stops the uplinks and closes the store. */
  async close(): Promise<void> {
    this.#isClosing = true;
    for (const connection of this.#connections) connection.end("server-shutting-down");
    this.turn.finish();
    clearTimeout(this.#timer);
    const running = this.#running;
    if (running === undefined) return;
    await Promise.all(running.uplinks.map((uplink) => uplink.stop(UPLINK_STOP_MS)));
    await running.store.drain();
    this.#running = undefined;
    await running.store.close();
  }

  /** What it knows of the metrics. */
  metrics(): Omit<MetricsSource, "network"> {
    return {
      counters: () => this.#totals(),
      connections: () => this.#connections.size,
      sessions: () => sessionCounts(this.#running?.broker.sessions.all() ?? []),
      kept: () => keptCounts(this.#running?.broker),
      store: () => storeSizes(this.#running?.store),
      streams: () => streamViews(this.#running),
      queues: () => queueViews(this.#running?.broker),
      consumers: () => consumerViews(this.#running?.broker),
      requests: () => requestView(this.#running?.broker),
      patterns: () => this.#patternTotals(),
      nativeRequests: () => this.#requestCounts.all(),
      uplinks: () => (this.#running?.uplinks ?? []).map(uplinkView),
    };
  }

  /** Answers come outside of any turn. */
  #authenticator(): Authenticator {
    const { authenticator } = this.#options;
    return {
      authenticate: (claim, done) =>
        authenticator.authenticate(claim, (outcome) => {
          done(outcome);
          this.turn.schedule();
        }),
    };
  }

  /** What is told under `$SYS`. */
  #systemOptions(store: LogStore): SystemOptions | undefined {
    const { config, traffic } = this.#options;
    const intervalMs = config.mqtt.sysIntervalMs;
    if (intervalMs === 0) return undefined;
    return {
      intervalMs,
      version: `rillmq version ${packageVersion()}`,
      view: () => {
        const { bytesReceived, bytesSent, opened } = traffic();
        return { counters: this.#totals(), bytesReceived, bytesSent, socketsOpened: opened };
      },
      costs: () => {
        const { liveBytes, messages } = storeSizes(store);
        return {
          storeMessages: messages,
          storeBytes: liveBytes,
          heapBytes: process.memoryUsage().heapUsed,
          uptimeSeconds: Math.floor(process.uptime()),
        };
      },
    };
  }

  #edgeId(store: LogStore): string {
    const { edgeId } = this.#options.config;
    if (edgeId !== undefined) return edgeId;
    const known = store.get("meta", EDGE_ID_KEY);
    if (known !== undefined) return new TextDecoder().decode(known);
    const drawn = `edge-${randomBytes(6).toString("hex")}`;
    store.put("meta", EDGE_ID_KEY, new TextEncoder().encode(drawn));
    return drawn;
  }

  /** Behind the slowest of the uplinks that this log is kept for; of all that read it when it is kept for none. */
  #deliveredBefore(log: LogId): Sequence | undefined {
    const readers = this.#running?.uplinks.filter((uplink) => uplink.reads(log)) ?? [];
    if (readers.length === 0) return undefined;
    const pinned = readers.filter((uplink) => uplink.isPinned);
    const slowest = pinned.length > 0 ? pinned : readers;
    return Math.min(...slowest.map((uplink) => uplink.doneBefore(log))) as Sequence;
  }

  #onFlushed(): void {
    this.#options.observeFlush((performance.now() - this.#sealedAt) / 1_000);
    for (const uplink of this.#running?.uplinks ?? []) uplink.onFlushed();
    this.turn.schedule();
  }

  #onFailed(error: Error): void {
    const running = this.#running;
    this.#running = undefined;
    this.#downSince = performance.now();
    const { log, dropConnections } = this.#options;
    log("error", "the store failed: all connections end and it is opened again", { error });
    if (running !== undefined) {
      addTo(this.#counters, running.broker.counters);
      addPatternsTo(this.#patternCounts, running.broker.patternCounts);
    }
    clearTimeout(this.#timer);
    this.#timerAt = Number.POSITIVE_INFINITY;
    // They are told before they are dropped.
    this.turn.finish();
    dropConnections();
    void this.#reopen(running);
  }

  async #reopen(failed: Running | undefined): Promise<void> {
    const { log } = this.#options;
    if (failed !== undefined) {
      await Promise.all(failed.uplinks.map((uplink) => uplink.stop(0)));
      await failed.store.close().catch(() => undefined);
    }
    for (let attempt = 1; !this.#isClosing; attempt++) {
      await new Promise((resolve) => setTimeout(resolve, REOPEN_MS));
      try {
        await this.open();
        return;
      } catch (error) {
        // Once, and then now and again: the state lasts.
        if (attempt === 1 || attempt % 60 === 0) {
          log("error", "the store cannot be opened", { error, attempt });
        }
      }
    }
  }

  #armTimer(): void {
    const running = this.#running;
    if (running === undefined || this.#isClosing) return;
    const at = running.broker.nextDeadline();
    if (at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(
      () => {
        this.#timerAt = Number.POSITIVE_INFINITY;
        this.#observeTime(running);
        running.broker.onTime(running.clock.now());
        this.turn.schedule();
      },
      Math.min(Math.max(at - running.clock.now(), 0), 60_000),
    );
  }

  /** Looks at the wall clock, now and then. */
  #observeTime({ broker, clock }: Running): void {
    const now = performance.now();
    if (now - this.#observedAt < OBSERVE_TIME_MS) return;
    this.#observedAt = now;
    const { isTrusted } = clock;
    if (clock.observe()) broker.onAged();
    if (clock.isTrusted !== isTrusted) this.#tellTrust(clock);
  }

  #tellTrust({ isTrusted }: LogTime): void {
    if (isTrusted) this.#options.log("info", "the wall clock is believed: time spent off counts");
    else this.#options.log("warn", "the wall clock is not believed: time spent off does not count");
  }

  #patternTotals(): AllPatternCounts {
    const totals = newPatternCounts();
    addPatternsTo(totals, this.#patternCounts);
    if (this.#running !== undefined) addPatternsTo(totals, this.#running.broker.patternCounts);
    return totals;
  }

  #totals(): Counters {
    const totals = new Counters();
    addTo(totals, this.#counters);
    if (this.#running !== undefined) addTo(totals, this.#running.broker.counters);
    return totals;
  }
}

function openStore(config: Config, path: string): LogStore {
  const { maxBytes, pendingBytesMax, diskReserveBytes, lingerMs } = config.store;
  try {
    const reserve = diskReserveBytes === undefined ? {} : { diskReserveBytes };
    return openLmdbStore({ path, bytesMax: maxBytes, pendingBytesMax, lingerMs, ...reserve });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const text = `cannot open the store ${path}: ${why}`;
    throw new OperatingError("data-folder-unusable", text, { cause: error });
  }
}
