import {
  AuthorizationError,
  connect,
  createInbox,
  credsAuthenticator,
  InvalidArgumentError,
  type Msg,
  type NatsConnection,
  type NodeConnectionOptions,
  PermissionViolationError,
  type TlsOptions,
  UserAuthenticationExpiredError,
} from "@nats-io/transport-node";
import type { LogRecord } from "../../broker/store.ts";
import {
  type CredentialSources,
  CredentialsError,
  credentialsMark,
  readCredentials,
  type TlsMaterial,
} from "../credentials.ts";
import type { Driver, Failure, Link, LinkEvents, LinkTarget, RemotePosition } from "../remote.ts";
import { TopicTemplate } from "../topic-template.ts";
import { decodePublishReply } from "./nats-ack.ts";
import { recordHeaders } from "./nats-headers.ts";
import { ReconcileError, reconcileLane } from "./nats-reconcile.ts";
import { lanePrefix, SUBJECT_BYTES_MAX, topicTokens } from "./nats-subject.ts";

export interface NatsDriverOptions extends CredentialSources {
  /** Servers of one cluster, by priority: `nats://host:4222`, or `tls://host:4222` to insist on TLS. */
  readonly urls: readonly string[];
  readonly jetStreamDomain?: string;
  /** For each request of a reconcile, in milliseconds; default 5,000. */
  readonly requestTimeoutMs?: number;
}

const REQUEST_TIMEOUT_MS = 5_000;
/** Publishes without an acknowledgement that JetStream is given over all lanes. */
const WINDOW_MAX = 65_536;
/** An idle connection is found dead after two of these. */
const PING_INTERVAL_MS = 20_000;
/** For each server of the list. */
const DIAL_TIMEOUT_MS = 5_000;
const SUBJECTS_CACHED_MAX = 4_096;

/**
 * NATS JetStream, servers from 2.9. Exactly once into a stream with limits retention; see docs/uplink.md.
 * The stream is made at the centre, not here.
 */
export class NatsDriver implements Driver {
  readonly name = "nats";
  readonly #options: NatsDriverOptions;

  constructor(options: NatsDriverOptions) {
    this.#options = options;
  }

  open(target: LinkTarget, events: LinkEvents): Link {
    return new NatsLink(this.#options, target, events);
  }

  credentialsMark(): string | undefined {
    return credentialsMark(this.#options);
  }
}

interface LinkLane {
  readonly name: string;
  readonly stream: string;
  readonly prefix: string;
  readonly template: TopicTemplate | undefined;
  /** Subjects by topic, so that each is made once. */
  readonly subjects: Map<string, string>;
  /** Counts reconciles, so that an abandoned one falls silent. */
  reconcileNumber: number;
  /** The JetStream stream that the last reconcile found. */
  remoteStream: string | undefined;
}

class NatsLink implements Link {
  readonly #options: NatsDriverOptions;
  readonly #target: LinkTarget;
  readonly #events: LinkEvents;
  readonly #lanes: readonly LinkLane[];
  readonly #inbox = createInbox();
  #connection: NatsConnection | undefined;
  #isSilent = false;

  constructor(options: NatsDriverOptions, target: LinkTarget, events: LinkEvents) {
    this.#options = options;
    this.#target = target;
    this.#events = events;
    const { edgeId, uplink } = target;
    this.#lanes = target.lanes.map(({ name, stream, topic }) => ({
      name,
      stream,
      prefix: lanePrefix(edgeId, name),
      template:
        topic === undefined ? undefined : new TopicTemplate(topic, { edgeId, uplink, stream }),
      subjects: new Map(),
      reconcileNumber: 0,
      remoteStream: undefined,
    }));
    this.#run().catch((error: unknown) => this.#closed(classify(error)));
  }

  reconcile(index: number, position: RemotePosition | undefined): void {
    const lane = this.#lanes[index];
    const connection = this.#connection;
    if (lane === undefined || connection === undefined) return;
    const number = ++lane.reconcileNumber;
    const isAbandoned = (): boolean =>
      this.#isSilent || number !== lane.reconcileNumber || connection.isClosed();
    const { requestTimeoutMs, jetStreamDomain } = this.#options;
    reconcileLane({
      connection,
      edgeId: this.#target.edgeId,
      lane: lane.name,
      stream: lane.stream,
      position,
      requestTimeoutMs: requestTimeoutMs ?? REQUEST_TIMEOUT_MS,
      jetStreamDomain,
      isAbandoned,
      onProgress: () => {
        if (!isAbandoned()) this.#events.onReconcileProgress(index);
      },
    }).then(
      (result) => {
        if (result === undefined || isAbandoned()) return;
        lane.remoteStream = result.remoteStream;
        this.#events.onReconciled(index, result);
      },
      (error: unknown) => {
        if (isAbandoned()) return;
        const failure = error instanceof ReconcileError ? error.failure : classify(error);
        this.#events.onReconcileFailed(index, failure);
      },
    );
  }

  // Hot path: per record. The reply's subject tells lane and sequence, so that no promise is needed.
  send(index: number, record: LogRecord): Failure | undefined {
    const lane = this.#lanes[index];
    const connection = this.#connection;
    if (lane === undefined || connection === undefined || connection.isClosed()) return undefined;
    const subject = this.#subjectOf(lane, record.topic.text);
    if (subject === "") {
      const reason = "its topic has fewer levels than the lane's template names";
      return { class: "poison", reason };
    }
    if (Buffer.byteLength(subject) > SUBJECT_BYTES_MAX) {
      return { class: "poison", reason: `its subject is longer than ${SUBJECT_BYTES_MAX} bytes` };
    }
    const payload = record.bytes.subarray(record.payloadStart, record.payloadEnd);
    try {
      connection.publish(subject, payload, {
        headers: recordHeaders(this.#target.edgeId, lane.stream, record, this.#target.clock),
        reply: `${this.#inbox}.${index}.${record.sequence}`,
      });
    } catch (error) {
      if (connection.isClosed()) return undefined;
      // The client refuses what the server would hang up on.
      const limit = connection.info?.max_payload ?? 0;
      const isTooLarge = error instanceof InvalidArgumentError && /max_payload/.test(error.message);
      return { class: isTooLarge ? "poison" : "lane", reason: `${error} (max_payload ${limit})` };
    }
    return undefined;
  }

  destroy(): void {
    this.#isSilent = true;
    this.#connection?.close().catch(() => undefined);
  }

  async close(timeoutMs: number): Promise<void> {
    this.#isSilent = true;
    const connection = this.#connection;
    if (connection === undefined || connection.isClosed()) return;
    let timeout: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timeout = setTimeout(resolve, timeoutMs);
    });
    await Promise.race([connection.flush().catch(() => undefined), patience]);
    await Promise.race([connection.close().catch(() => undefined), patience]);
    clearTimeout(timeout);
  }

  async #run(): Promise<void> {
    const connection = await connect(this.#connectOptions());
    if (this.#isSilent) {
      await connection.close();
      return;
    }
    this.#connection = connection;
    connection.subscribe(`${this.#inbox}.>`, {
      callback: (error, message) => {
        if (error === null) this.#onReply(message);
      },
    });
    this.#watch(connection).catch(() => undefined);
    this.#events.onConnected({
      windowMax: WINDOW_MAX,
      reconcilesLanesAlone: true,
      address: connection.getServer(),
    });
    const error = await connection.closed();
    this.#closed(classify(error ?? new Error("the connection was closed")));
  }

  #connectOptions(): NodeConnectionOptions {
    const { username, password, token, credentials, tls } = readCredentials(this.#options);
    const { urls } = this.#options;
    const isTls = tls !== undefined || urls.some((url) => url.startsWith("tls:"));
    return {
      servers: urls.map((url) => url.replace(/^tls:/, "nats:")),
      noRandomize: true,
      // The client's own reconnect drops what it had buffered; the engine does it better.
      reconnect: false,
      ignoreClusterUpdates: true,
      timeout: DIAL_TIMEOUT_MS,
      pingInterval: PING_INTERVAL_MS,
      maxPingOut: 2,
      name: `rillmq ${this.#target.edgeId} ${this.#target.uplink}`,
      ...(username === undefined ? {} : { user: username }),
      ...(password === undefined ? {} : { pass: password }),
      ...(token === undefined ? {} : { token }),
      ...(isTls ? { tls: tlsOptions(tls ?? {}) } : {}),
      ...(credentials === undefined ? {} : { authenticator: credsAuthenticator(credentials) }),
    };
  }

  /** Errors that the server reports beside the replies. */
  async #watch(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type !== "error" || this.#isSilent) continue;
      const { error } = status;
      if (!(error instanceof PermissionViolationError)) continue;
      const index = this.#lanes.findIndex(({ prefix }) => error.subject.startsWith(`${prefix}.`));
      const failure: Failure = { class: "lane", reason: error.message };
      if (index >= 0) this.#events.onLaneFailed(index, failure);
    }
  }

  // Hot path: per acknowledgement.
  #onReply(message: Msg): void {
    if (this.#isSilent) return;
    const { subject } = message;
    const sequenceAt = subject.lastIndexOf(".") + 1;
    const sequence = Number(subject.slice(sequenceAt));
    const index = Number(subject.slice(this.#inbox.length + 1, sequenceAt - 1));
    const lane = this.#lanes[index];
    if (lane === undefined) return;
    const reply = decodePublishReply(message.headers?.code ?? 0, message.data);
    if (reply.kind === "failed") {
      this.#events.onRefused(index, sequence, reply.failure);
    } else if (reply.stream === lane.remoteStream) {
      this.#events.onAcknowledged(index, sequence, reply.position);
    } else {
      const reason = `stored by stream ${reply.stream} instead of ${lane.remoteStream}`;
      this.#events.onRefused(index, sequence, { class: "transport", reason });
    }
  }

  /** The subject of a topic; empty: the lane's template does not fit it. */
  #subjectOf(lane: LinkLane, topic: string): string {
    const { subjects, template, prefix } = lane;
    let subject = subjects.get(topic);
    if (subject === undefined) {
      if (subjects.size >= SUBJECTS_CACHED_MAX) subjects.clear();
      const remote = template === undefined ? topic : template.apply(topic);
      subject = remote === undefined ? "" : `${prefix}.${topicTokens(remote)}`;
      subjects.set(topic, subject);
    }
    return subject;
  }

  #closed(failure: Failure): void {
    if (this.#isSilent) return;
    this.#isSilent = true;
    this.#events.onClosed(failure);
  }
}

/** As the client wants them: text, and no name where the remote's address is one. */
function tlsOptions(tls: TlsMaterial): TlsOptions {
  const { ca, cert, key, servername } = tls;
  return {
    ...(ca === undefined ? {} : { ca: ca.toString() }),
    ...(cert === undefined ? {} : { cert: cert.toString() }),
    ...(key === undefined ? {} : { key: key.toString() }),
    ...(servername === undefined ? {} : { servername }),
  };
}

function classify(error: unknown): Failure {
  if (error instanceof CredentialsError) return { class: "auth", reason: error.message };
  const reason = error instanceof Error ? error.message || error.name : String(error);
  const cause = error instanceof Error ? error.cause : undefined;
  const isAuth = [error, cause].some(
    (one) => one instanceof AuthorizationError || one instanceof UserAuthenticationExpiredError,
  );
  return { class: isAuth ? "auth" : "transport", reason };
}
