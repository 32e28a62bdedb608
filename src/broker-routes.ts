/**
 * What the admin channel answers about clients, sessions, topics and retained messages; `rillmq clients|sessions|topics|retained` are in
 * front of it. Names come in the body: they may be longer than a path, and hold what a path cannot.
 */
import { inSteps, type Page, pageIn, pageOf, textIn } from "./admin-page.ts";
import type { Broker } from "./broker/broker.ts";
import type { Message } from "./broker/message.ts";
import { NEVER_MS, type Session } from "./broker/session.ts";
import { filterMatches, isTopicFilter, isTopicName, type Topic } from "./broker/topic.ts";
import { MqttConnection } from "./mqtt/connection.ts";
import { NativeConnection } from "./native/connection.ts";
import { AdminError, type AdminHandler, type AdminRequest } from "./net/admin-server.ts";

/** Where the broker is; asked with every request. */
export interface BrokerSource {
  /** Undefined while the store is being opened. */
  readonly broker: Broker | undefined;
  readonly turn: { schedule(): void };
  /** Resolves when all that was staged is on disk; rejects when it cannot be. */
  flush(): Promise<void>;
}

/** Bytes of payloads that a list shows; a single one is shown whole. */
const PREVIEW_BYTES_MAX = 64;
/** Subscriptions of one client that are shown. */
const SUBSCRIPTIONS_SHOWN_MAX = 1_000;
/** Retained messages removed in one commit. */
const REMOVED_PER_COMMIT = 1_000;

const timeText = (ms: number): string => new Date(ms).toISOString();

/** One session as JSON; `null` expiry: never. */
function shownSession(session: Session): Readonly<Record<string, unknown>> {
  const { clientId, principal, expiryMs, detachedAt, outbound } = session;
  return {
    clientId,
    ...(principal === undefined ? {} : { user: principal }),
    connected: session.owner !== undefined,
    durable: session.isDurable,
    sessionExpirySeconds: expiryMs === NEVER_MS ? null : Math.floor(expiryMs / 1_000),
    ...(detachedAt === undefined ? {} : { detachedAt: timeText(detachedAt) }),
    subscriptions: session.subscriptions.size,
    inflight: outbound.inflightSize,
    backlog: outbound.backlogSize,
  };
}

/** One connected client as JSON. */
function shownClient(session: Session): Readonly<Record<string, unknown>> {
  const { connected: _connected, ...rest } = shownSession(session);
  const { owner } = session;
  const isShown = owner instanceof MqttConnection || owner instanceof NativeConnection;
  if (!isShown) return rest;
  const { connectedAt, ...view } = owner.view();
  return { ...rest, ...view, connectedAt: timeText(connectedAt) };
}

/** The same with its subscriptions. */
function shownWhole(session: Session): Readonly<Record<string, unknown>> {
  const subscribedTo: unknown[] = [];
  for (const subscription of session.subscriptions.values()) {
    if (subscribedTo.length >= SUBSCRIPTIONS_SHOWN_MAX) break;
    const { topicFilter, qos, noLocal, retainAsPublished, retainHandling } = subscription;
    const { subscriptionId } = subscription;
    const options = { topicFilter, qos, noLocal, retainAsPublished, retainHandling };
    subscribedTo.push(subscriptionId === undefined ? options : { ...options, subscriptionId });
  }
  return { ...shownClient(session), subscribedTo };
}

/** One retained message as JSON, with so many bytes of its payload in base64. */
function shownRetained(
  message: Message,
  user: string | undefined,
  bytesMax: number,
): Readonly<Record<string, unknown>> {
  const { topic, qos, publisherId, bytes, payloadStart, payloadEnd, properties } = message;
  const end = Math.min(payloadEnd, payloadStart + bytesMax);
  const { correlationData, ...plain } = properties ?? {};
  const data =
    correlationData === undefined
      ? {}
      : { correlationData: Buffer.from(correlationData).toString("base64") };
  return {
    topic: topic.text,
    qos,
    ...(publisherId === "" ? {} : { publisherId }),
    ...(user === undefined ? {} : { user }),
    receivedAt: timeText(message.receivedAt),
    ...(message.expiresAt === undefined ? {} : { expiresAt: timeText(message.expiresAt) }),
    payloadBytes: payloadEnd - payloadStart,
    payload: Buffer.from(bytes.subarray(payloadStart, end)).toString("base64"),
    ...(properties === undefined ? {} : { properties: { ...plain, ...data } }),
  };
}

/** A topic filter in the body; `#` when there is none. */
function filterIn({ body }: AdminRequest): string {
  const filter = (body as { readonly filter?: unknown } | undefined)?.filter ?? "#";
  if (typeof filter === "string" && isTopicFilter(filter) && !filter.startsWith("$share/")) {
    return filter;
  }
  throw new AdminError(400, "filter is not a topic filter");
}

/** Handlers for the admin channel. */
export function brokerRoutes(source: BrokerSource): [string, AdminHandler][] {
  const running = (): Broker => {
    const { broker } = source;
    if (broker === undefined) throw new AdminError(503, "the store is being opened");
    return broker;
  };
  const flushed = async (): Promise<void> => {
    source.turn.schedule();
    try {
      await source.flush();
    } catch (error) {
      throw new AdminError(503, `the outcome is unknown, the store failed: ${error}`);
    }
  };
  return [
    ...clientRoutes(running, flushed),
    ...sessionRoutes(running, flushed),
    ...topicRoutes(running),
    ...retainedRoutes(running, flushed),
  ];
}

type Running = () => Broker;
type Flushed = () => Promise<void>;

function connectedSession(broker: Broker, { body }: AdminRequest): Session {
  const clientId = textIn(body, "clientId");
  const session = broker.sessions.get(clientId);
  if (session?.owner === undefined) throw new AdminError(404, "no such client is connected");
  return session;
}

function clientRoutes(running: Running, flushed: Flushed): [string, AdminHandler][] {
  return [
    [
      "POST /clients/list",
      async ({ body }): Promise<Page<unknown>> => {
        const keyOf = ({ owner, clientId }: Session): string | undefined =>
          owner === undefined ? undefined : clientId;
        const { entries, ...rest } = await pageOf(running().sessions.all(), keyOf, pageIn(body));
        return { items: entries.map(shownClient), ...rest };
      },
    ],
    ["POST /clients/show", (request) => shownWhole(connectedSession(running(), request))],
    [
      "POST /clients/kick",
      async (request) => {
        const broker = running();
        const session = connectedSession(broker, request);
        const { dropSession } = request.body as { readonly dropSession?: unknown };
        session.owner?.end("administrative-action");
        if (dropSession === true && !session.hasEnded) broker.sessions.end(session);
        await flushed();
        return { clientId: session.clientId, sessionDropped: session.hasEnded };
      },
    ],
  ];
}

function sessionRoutes(running: Running, flushed: Flushed): [string, AdminHandler][] {
  return [
    [
      "POST /sessions/list",
      async ({ body }): Promise<Page<unknown>> => {
        const all = running().sessions.all();
        const { entries, ...rest } = await pageOf(all, ({ clientId }) => clientId, pageIn(body));
        return { items: entries.map(shownSession), ...rest };
      },
    ],
    [
      "POST /sessions/remove",
      async ({ body }) => {
        const broker = running();
        const session = broker.sessions.get(textIn(body, "clientId"));
        if (session === undefined) throw new AdminError(404, "there is no such session");
        const wasConnected = session.owner !== undefined;
        session.owner?.end("administrative-action");
        if (!session.hasEnded) broker.sessions.end(session);
        await flushed();
        return { clientId: session.clientId, wasConnected };
      },
    ],
  ];
}

function topicRoutes(running: Running): [string, AdminHandler][] {
  return [
    [
      "POST /topics/list",
      async (request): Promise<Page<unknown>> => {
        const broker = running();
        const filter = filterIn(request);
        const keyOf = (topic: Topic): string | undefined => {
          if (!filterMatches(filter, topic.text)) return undefined;
          const isKnown = topic.messages > 0 || broker.retained.get(topic) !== undefined;
          return isKnown ? topic.text : undefined;
        };
        const topics = knownTopics(broker);
        const { entries, ...rest } = await pageOf(topics, keyOf, pageIn(request.body));
        return { items: entries.map((topic) => shownTopic(broker, topic)), ...rest };
      },
    ],
  ];
}

/** Topics in the table, and those with a retained message; some may be both. */
function* knownTopics(broker: Broker): Iterable<Topic> {
  for (const { topic } of broker.retained.all()) yield topic;
  yield* broker.topics.all();
}

function shownTopic(broker: Broker, topic: Topic): Readonly<Record<string, unknown>> {
  const retained = broker.retained.get(topic);
  const stream = broker.streams.of(topic)?.name;
  return {
    topic: topic.text,
    messages: broker.topics.of(topic.text).messages,
    subscribers: broker.subscribersOf(topic),
    ...(retained === undefined
      ? {}
      : { retainedBytes: retained.payloadEnd - retained.payloadStart }),
    ...(stream === undefined ? {} : { stream }),
  };
}

/** Among them are the retained messages of a filter: one look for a topic, a walk for the rest. */
function candidates(broker: Broker, filter: string): Iterable<Message> {
  const { retained } = broker;
  if (!isTopicName(filter) && !filter.startsWith("$SYS")) return retained.all();
  return retained.match(filter, broker.clock).flatMap((topic) => retained.get(topic) ?? []);
}

function retainedRoutes(running: Running, flushed: Flushed): [string, AdminHandler][] {
  return [
    [
      "POST /retained/list",
      async (request): Promise<Page<unknown>> => {
        const broker = running();
        const { retained } = broker;
        const filter = filterIn(request);
        const keyOf = ({ topic: { text } }: Message): string | undefined =>
          filterMatches(filter, text) ? text : undefined;
        const all = candidates(broker, filter);
        const { entries, ...rest } = await pageOf(all, keyOf, pageIn(request.body));
        const show = (message: Message): unknown =>
          shownRetained(message, retained.principalOf(message.topic), PREVIEW_BYTES_MAX);
        return { items: entries.map(show), ...rest };
      },
    ],
    [
      "POST /retained/get",
      ({ body }) => {
        const broker = running();
        const topic = broker.topics.of(textIn(body, "topic"));
        const message = broker.retained.get(topic);
        if (message === undefined) throw new AdminError(404, "there is no retained message");
        const user = broker.retained.principalOf(topic);
        return shownRetained(message, user, Number.MAX_SAFE_INTEGER);
      },
    ],
    [
      "POST /retained/remove",
      async (request) => {
        textIn(request.body, "filter");
        const broker = running();
        let removed = 0;
        const filter = filterIn(request);
        await inSteps(candidates(broker, filter), async ({ topic }) => {
          if (!filterMatches(filter, topic.text) || !broker.retained.remove(topic)) return;
          if (++removed % REMOVED_PER_COMMIT === 0) await flushed();
        });
        if (removed === 0) throw new AdminError(404, "there is no such retained message");
        await flushed();
        return { removed };
      },
    ],
  ];
}
