/**
 * A broker without sockets, disk or time: `Broker` on a `MemoryStore`, a clock that a test sets, and connections on
 * fake links. A crash forgets the broker and what was not flushed; the disk stays.
 */
import { openAuthenticator } from "../../src/broker/authenticator.ts";
import { type AccessPolicy, Authorization } from "../../src/broker/authorization.ts";
import { Broker } from "../../src/broker/broker.ts";
import { noEnhancedAuthenticator } from "../../src/broker/enhanced-authenticator.ts";
import type { BrokerLimits } from "../../src/broker/limits.ts";
import { LogTime } from "../../src/broker/log-time.ts";
import type { QueueSettings } from "../../src/broker/queue-records.ts";
import { NO_ROUTING, type RoutingSettings } from "../../src/broker/routing.ts";
import type { LogId, Ordinal, Sequence } from "../../src/broker/store.ts";
import type { StreamLoss, StreamSettings } from "../../src/broker/stream.ts";
import type { SystemOptions } from "../../src/broker/sys-topics.ts";
import type { Instant } from "../../src/lib/clock.ts";
import { MqttConnection } from "../../src/mqtt/connection.ts";
import type { ConnectionOptions } from "../../src/mqtt/connection-options.ts";
import { ProtocolVersion } from "../../src/mqtt/packet.ts";
import { NativeConnection } from "../../src/native/connection.ts";
import type { HelloFrame, Subprotocol } from "../../src/native/frame.ts";
import type { NativeLink } from "../../src/native/link.ts";
import type { NativeOptions } from "../../src/native/native-options.ts";
import { RequestCounts } from "../../src/native/request-counts.ts";
import { MemoryDisk, MemoryStore } from "../../src/store/memory-store.ts";
import { FakeLink } from "./fake-link.ts";
import { NativeClient } from "./native-client.ts";
import { type ConnectFields, VirtualClient } from "./virtual-client.ts";

const MIB = 1_048_576;

/** Limits of streams, consumers, queues and requests. */
export const PATTERNS: BrokerLimits["patterns"] = {
  streamsMax: 100,
  consumersMax: 100,
  queuesMax: 100,
  requests: {
    requestsMax: 100,
    requestsPerClientMax: 50,
    timeoutMaxMs: 600_000,
    replyCacheBytesMax: 65_536,
  },
  duplicates: { bytesMax: 32 * MIB },
  defaults: {
    bytesMax: 64 * MIB,
    messagesMax: 100_000,
    deliveriesMax: 0,
    deadLetterQueue: undefined,
    visibilityMs: 30_000,
    expiryMs: 0,
    duplicateWindowMs: 120_000,
  },
};

export interface VirtualNodeOptions {
  /** Below which sequence uplinks have delivered a log. */
  readonly deliveredBefore?: (log: LogId) => Sequence | undefined;
  /** After each flush. */
  readonly onFlushed?: () => void;
  /** `auto` (default): `turn` flushes all there is. `manual`: only `flush` does. */
  readonly flushes?: "auto" | "manual";
  readonly pendingBytesMax?: number;
  readonly storeBytesMax?: number;
  readonly streams?: readonly StreamSettings[];
  readonly queues?: readonly (Partial<QueueSettings> & { readonly name: string })[];
  readonly routing?: RoutingSettings;
  readonly outbound?: Partial<BrokerLimits["outbound"]>;
  readonly retained?: Partial<BrokerLimits["retained"]>;
  readonly limits?: Partial<Omit<BrokerLimits, "outbound" | "retained">>;
  readonly connection?: Partial<ConnectionOptions>;
  readonly native?: Partial<NativeOptions>;
  /** What is told under `$SYS`; by default nothing. */
  readonly system?: (broker: () => Broker | undefined) => SystemOptions;
}

/** Limits of what is made while the broker runs. */
export class VirtualNode {
  readonly disk = new MemoryDisk();
  readonly requestCounts = new RequestCounts();
  readonly losses: StreamLoss[] = [];
  readonly failures: Error[] = [];
  /** What queues and consumers gave up, as `from reason to`. */
  readonly givenUp: string[] = [];
  /** What streams gave up before consumers had settled it, as `consumer from..to`. */
  readonly consumerLosses: string[] = [];
  /** The rules; outlive a crash. Change them with `setPolicy`. */
  readonly authorization = new Authorization();
  /** Subscriptions that rules took away, as `clientId topicFilter`. */
  readonly revoked: string[] = [];
  /** What backlogs dropped beyond their limits: client and number of messages. */
  readonly backlogDrops: [clientId: string, count: number][] = [];
  broker: Broker;
  store: MemoryStore;
  time: LogTime;
  /** The wall clock: what is set goes on with the time that passes. */
  readonly wall = { aheadMs: 1_700_000_000_000, isTrusted: true };
  /** Passes whatever happens, also while no broker runs (see `off`). */
  #steadyMs = 0;
  readonly #options: VirtualNodeOptions;
  #clients = new Set<VirtualClient | NativeClient>();
  #assigned = 0;
  #isCut = false;
  /** Most bytes of logs that one turn or flush read. */
  maxTurnBytesRead = 0;
  #tokens = 0;

  constructor(options: VirtualNodeOptions = {}) {
    this.#options = options;
    [this.store, this.broker, this.time] = this.#open();
  }

  get now(): Instant {
    return this.time.now();
  }

  /** What the wall clock says. */
  get wallMs(): number {
    return this.#steadyMs + this.wall.aheadMs;
  }

  /** Puts rules in force. */
  setPolicy(policy: AccessPolicy): void {
    this.authorization.replace(policy);
    this.broker.onPolicyChanged();
    this.turn();
  }

  /** A new network connection without CONNECT. */
  dial(version: ProtocolVersion = ProtocolVersion.v5): VirtualClient {
    const link = new FakeLink();
    const connection = new MqttConnection(this.broker, link, this.#connectionOptions());
    const client = new VirtualClient(this, connection, link, version);
    this.#clients.add(client);
    return client;
  }

  /** A new network connection with CONNECT sent. */
  connect(
    clientId: string,
    fields: ConnectFields & { version?: ProtocolVersion } = {},
  ): VirtualClient {
    const { version = ProtocolVersion.v5, ...rest } = fields;
    const client = this.dial(version);
    client.connect({ clientId, ...rest });
    return client;
  }

  /** A new connection of the native protocol without `hello`. */
  dialNative(subprotocol: Subprotocol = "rill.v1+msgpack"): NativeClient {
    const link = new FakeLink();
    const connection = new NativeConnection(this.broker, link, subprotocol, this.#nativeOptions());
    const client = new NativeClient(this, connection, link, subprotocol);
    this.#clients.add(client);
    return client;
  }

  /** The broker's side of a new connection of the native protocol, over a link of the test's own. Whoever has it sees to crashes. */
  acceptNative(link: NativeLink, subprotocol: Subprotocol): NativeConnection {
    return new NativeConnection(this.broker, link, subprotocol, this.#nativeOptions());
  }

  /** A new connection of the native protocol that is welcome. */
  native(clientId: string, hello: Partial<HelloFrame> = {}): NativeClient {
    const client = this.dialNative();
    client.ask({ op: "hello", versions: [1], clientId, ...hello });
    return client;
  }

  /** The end of a turn of the event loop; flushes all there is unless flushes are manual. */
  turn(): void {
    this.#endTurn();
    if (this.#options.flushes !== "manual") this.flushAll();
    this.#endTurn();
  }

  /** Completes one commit: the one in flight or that of what is staged. False: there was nothing. */
  flush(): boolean {
    const before = this.store.bytesRead;
    const isFlushed = this.store.flush();
    this.#countRead(before);
    this.#endTurn();
    return isFlushed;
  }

  flushAll(): void {
    for (let i = 0; this.flush(); i++) if (i > 10_000) throw new Error("it never comes to rest");
  }

  /** Lets time pass: deadlines are served in their order, each at its time. */
  advance(ms: number): void {
    const until = this.#steadyMs + ms;
    for (;;) {
      const next = this.#steadyMs + Math.max(0, this.broker.nextDeadline() - this.now);
      if (next > until) break;
      this.#steadyMs = next;
      if (this.time.observe()) this.broker.onAged();
      this.broker.onTime(this.now);
      this.turn();
    }
    this.#steadyMs = until;
  }

  /** Ends the broker as `crash` does and starts it that much later. */
  off(ms: number): void {
    this.#steadyMs += ms;
    this.crash();
  }

  /** Ends the broker without a word; what was not flushed is gone. A new one starts on the same disk. */
  crash(): void {
    for (const client of this.#clients) client.drop();
    this.#clients = new Set();
    [this.store, this.broker, this.time] = this.#open();
    this.turn();
  }

  /** Copies what a session is owed, whether that pays or not, and lets the logs go. */
  spill(clientId: string, costMax = Number.MAX_SAFE_INTEGER): void {
    const before = Number.MAX_SAFE_INTEGER as Ordinal;
    this.broker.sessions.get(clientId)?.outbound.spill(before, costMax);
    this.broker.streams.trim(this.broker.sessions.oldestOwed(), () => undefined);
    this.turn();
  }

  /** This client is gone; nothing keeps it. */
  forget(client: VirtualClient | NativeClient): void {
    this.#clients.delete(client);
  }

  /** Keys in the table `meta` that begin with one of these bytes, as hexadecimal digits. */
  metaKeys(...prefixes: number[]): string[] {
    const keys = this.disk.keys("meta").filter((key) => prefixes.includes(key[0] ?? 0));
    return keys.map((key) => Buffer.from(key).toString("hex"));
  }

  /** And the turns behind it, where one could not read all that it had to send. */
  #endTurn(): void {
    do {
      this.#isCut = false;
      const before = this.store.bytesRead;
      this.broker.endTurn();
      this.#countRead(before);
    } while (this.#isCut);
  }

  #countRead(before: number): void {
    this.maxTurnBytesRead = Math.max(this.maxTurnBytesRead, this.store.bytesRead - before);
  }

  #open(): [MemoryStore, Broker, LogTime] {
    const {
      pendingBytesMax,
      storeBytesMax,
      streams = [],
      queues = [],
      routing = NO_ROUTING,
      outbound,
      retained,
      limits,
    } = this.#options;
    const store = new MemoryStore(this.disk, {
      flushes: "manual",
      ...(storeBytesMax === undefined ? {} : { bytesMax: storeBytesMax }),
      ...(pendingBytesMax === undefined ? {} : { pendingBytesMax }),
    });
    // Each process has a monotonic clock with a beginning of its own.
    const bornMs = this.#steadyMs - 1_000;
    const time = new LogTime(
      store,
      () => this.#steadyMs - bornMs,
      () => ({
        wallMs: this.wallMs,
        isTrusted: this.wall.isTrusted,
      }),
    );
    const broker = new Broker({
      store,
      clock: time,
      limits: {
        outbound: {
          inflightMax: 1_000,
          memoryBacklogBytesMax: MIB,
          backlogMessagesMax: 100_000,
          backlogBytesMax: 64 * MIB,
          backlogAgeMaxMs: undefined,
          backlogWhenFull: "drop-oldest",
          ...outbound,
        },
        retained: {
          messagesMax: 100_000,
          bytesMax: 64 * MIB,
          messagesPerUserMax: 100_000,
          ...retained,
        },
        patterns: PATTERNS,
        pinBytesMax: 64 * MIB,
        sessionsMax: 10_000,
        subscriptionsPerSessionMax: 1_000,
        sessionExpiryMaxMs: Number.POSITIVE_INFINITY,
        ...limits,
      },
      authorizer: this.authorization,
      onBacklogDropped: (clientId, count) => this.backlogDrops.push([clientId, count]),
      onGivenUp: (from, reason, to) => this.givenUp.push(`${from} ${reason} ${to ?? "-"}`),
      onConsumerLoss: ({ name }, { from, to }) =>
        this.consumerLosses.push(`${name} ${from}..${to}`),
      onSubscriptionRevoked: ({ clientId }, topicFilter) =>
        this.revoked.push(`${clientId} ${topicFilter}`),
      streams,
      queues: queues.map((one) => ({ ...PATTERNS.defaults, filters: [], ...one })),
      routing,
      newToken: () => `token-${++this.#tokens}`,
      system: this.#options.system?.(() => this.broker),
      deliveredBefore: (log) => this.#options.deliveredBefore?.(log),
      onSealing: () => time.seal(),
      onTurnCut: () => {
        this.#isCut = true;
      },
      onFlushed: () => this.#options.onFlushed?.(),
      onLoss: (loss) => this.losses.push(loss),
      onFailed: (error) => this.failures.push(error),
    });
    broker.recover();
    return [store, broker, time];
  }

  #nativeOptions(): NativeOptions {
    return {
      authenticator: openAuthenticator,
      allowsAnonymous: true,
      server: "rillmq test",
      edgeId: "edge-1",
      limits: {
        frameBytesMax: MIB,
        payloadBytesMax: MIB,
        requestsMax: 100,
        batchMax: 1_000,
        subsMax: 100,
        creditMax: 65_535,
        idleMs: 30_000,
      },
      helloTimeoutMs: 10_000,
      holdMaxMs: 30_000,
      topicBytesMax: 65_535,
      topicLevelsMax: 128,
      propertiesMax: 64,
      propertyBytesMax: 16_384,
      publishRateMax: 0,
      publishBytesPerSecondMax: 0,
      isRetainAvailable: true,
      counts: this.requestCounts,
      assignClientId: () => `assigned-${++this.#assigned}`,
      ...this.#options.native,
    };
  }

  #connectionOptions(): ConnectionOptions {
    return {
      authenticator: openAuthenticator,
      enhancedAuthenticator: noEnhancedAuthenticator,
      allowsAnonymous: true,
      packetBytesMax: MIB,
      connectPacketBytesMax: 65_536,
      connectTimeoutMs: 10_000,
      keepAliveMinSeconds: 0,
      keepAliveMaxSeconds: 65_535,
      receiveMaximum: 100,
      topicAliasMaximum: 10,
      topicAliasOutMax: 32,
      sessionExpiryMaxMs: Number.POSITIVE_INFINITY,
      topicBytesMax: 65_535,
      topicLevelsMax: 128,
      userPropertiesMax: 64,
      userPropertyBytesMax: 16_384,
      publishRateMax: 0,
      publishBytesPerSecondMax: 0,
      maximumQos: 2,
      isRetainAvailable: true,
      validatesPayloadFormat: false,
      allowsPatternTopics: false,
      responseInformation: undefined,
      holdMaxMs: 30_000,
      assignClientId: () => `assigned-${++this.#assigned}`,
      ...this.#options.connection,
    };
  }
}
