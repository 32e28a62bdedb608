/**
 * Messages that go to several places at once: because their sender says so, or because a rule of the configuration does. All that is durable
 * of it is in one group, and nothing is staged unless all of it is taken; what was routed is not routed again.
 */
import type { Authorizer } from "./authorization.ts";
import {
  type Destination,
  destinationText,
  NO_ROUTES,
  type ParsedDestinations,
  parseDestinations,
  type RouteTable,
} from "./destinations.ts";
import type { Message } from "./message.ts";
import type { Queues } from "./queues.ts";
import type { Session } from "./session.ts";
import { type CommitNumber, NO_COMMIT, type Sequence, type Store } from "./store.ts";
import type { Streams } from "./streams.ts";
import { filterMatches, type Topic, type TopicTable } from "./topic.ts";

/** Publishes that match also go there. */
export interface RoutingRule {
  readonly filter: string;
  readonly to: readonly Destination[];
}

export interface RoutingSettings {
  readonly routes: RouteTable;
  readonly rules: readonly RoutingRule[];
}

export const NO_ROUTING: RoutingSettings = { routes: NO_ROUTES, rules: [] };

/** Why a destination does not take a message. `busy`: no room just now. */
export type RouteRefusal = "not-authorized" | "not-found" | "full" | "busy";

/** What became of one destination. */
export interface RoutedPart {
  readonly to: Destination;
  /** Undefined: nothing is wrong with it. */
  readonly refusal: RouteRefusal | undefined;
  /** Of what a stream or queue took. */
  readonly sequence?: Sequence | undefined;
  readonly isDuplicate?: boolean;
  /** Of an event: nobody is there who gets it. */
  readonly isUnheard?: boolean;
}

export interface RouteResult {
  /** False: at least one destination refused, and none got anything. */
  readonly isTaken: boolean;
  /** One for each destination, in their order. */
  readonly parts: readonly RoutedPart[];
  /** What the answer waits for. */
  readonly commit: CommitNumber;
}

export interface RoutingContext {
  readonly settings: RoutingSettings;
  readonly store: Store;
  readonly streams: Streams;
  readonly queues: Queues;
  readonly topics: TopicTable;
  readonly authorizer: Authorizer;
  /** Whether an event could be published now; stages nothing. */
  readonly check: (message: Message, publisher: Session | undefined) => "full" | "busy" | undefined;
  /** Publishes an event that was checked. */
  readonly accept: (message: Message, publisher: Session | undefined) => AcceptedEvent;
}

/** What became of an event. */
export interface AcceptedEvent {
  /** Somebody gets it, or will. */
  readonly isHeard: boolean;
  /** What its acknowledgement waits for. */
  readonly commit: CommitNumber;
}

const NONE: readonly Destination[] = [];

export class Routing {
  readonly #context: RoutingContext;

  constructor(context: RoutingContext) {
    this.#context = context;
  }

  /**
   * See `parseDestinations`; with the routes of the configuration. "not-authorized": it names a route that is not there, or that this
   * publisher may not use; which of them is not told, so that nobody finds out what routes there are.
   */
  parse(
    text: string,
    own: Destination["kind"] | undefined,
    publisher: Session,
  ): ParsedDestinations | "not-authorized" {
    const { settings, authorizer } = this.#context;
    let isDenied = false;
    const routes: RouteTable = {
      get: (key) => {
        const found = settings.routes.get(key);
        isDenied ||= found === undefined ? !authorizer.isOpen : !this.#mayUse(found, publisher);
        return isDenied ? undefined : found;
      },
    };
    const parsed = parseDestinations(text, own, routes);
    return isDenied ? "not-authorized" : parsed;
  }

  #mayUse(route: readonly Destination[], publisher: Session): boolean {
    return route.every((one) => this.#isAllowed(one, publisher));
  }

  /** Where publishes to a topic go besides. Hot path: per message; looked up once per topic. */
  rulesOf(topic: Topic): readonly Destination[] {
    topic.rules ??= this.#matching(topic.text);
    return topic.rules as readonly Destination[];
  }

  /**
   * Sends a message to all of these, or to none. `topic` of the message: that of records in streams and queues, "" for their names.
   * `messageId`: for streams and queues that know it already it is sent once.
   */
  send(
    message: Message,
    to: readonly Destination[],
    publisher: Session,
    messageId: string | undefined,
  ): RouteResult {
    const room = { queues: this.#context.queues.roomLeft };
    const checked = to.map((one): RoutedPart => {
      const isAllowed = this.#isAllowed(one, publisher);
      const refusal = isAllowed ? this.#refusalOf(message, one, publisher, room) : "not-authorized";
      return { to: one, refusal };
    });
    if (checked.some(({ refusal }) => refusal !== undefined)) {
      return { isTaken: false, parts: checked, commit: NO_COMMIT };
    }
    return this.#sendAll(message, to, publisher, messageId);
  }

  /** Why a publish cannot be taken because of rules; undefined: it can. */
  refusalOfRules(
    message: Message,
    to: readonly Destination[],
    publisher: Session | undefined,
  ): "full" | "busy" | undefined {
    let isFull = false;
    const room = { queues: this.#context.queues.roomLeft };
    for (const one of to) {
      const refusal = this.#refusalOf(message, one, publisher, room);
      if (refusal === "busy") return refusal;
      isFull ||= refusal !== undefined;
    }
    return isFull ? "full" : undefined;
  }

  /** Sends what was published where rules say, in the same group. Returns the commit that this is in. */
  sendByRules(
    message: Message,
    to: readonly Destination[],
    publisher: Session | undefined,
  ): CommitNumber {
    const others = to.filter((one) => !this.#isThere(message.topic, one));
    return this.#sendAll(message, others, publisher, undefined).commit;
  }

  /** A stream or queue that gets what is published to the topic anyway. */
  #isThere(topic: Topic, { kind, name }: Destination): boolean {
    const { streams, queues } = this.#context;
    if (kind === "stream") return streams.of(topic)?.name === name;
    return kind === "queue" && queues.of(topic).some((queue) => queue.name === name);
  }

  #matching(topic: string): readonly Destination[] {
    const { rules } = this.#context.settings;
    if (rules.length === 0 || topic.startsWith("$")) return NONE;
    const found = new Map<string, Destination>();
    for (const { filter, to } of rules) {
      if (!filterMatches(filter, topic)) continue;
      for (const one of to) found.set(destinationText(one), one);
    }
    // It is there already.
    found.delete(destinationText({ kind: "event", name: topic }));
    return found.size === 0 ? NONE : [...found.values()];
  }

  #isAllowed({ kind, name }: Destination, { principal, clientId }: Session): boolean {
    const topic = kind === "event" ? name : `$${kind}/${name}`;
    return this.#context.authorizer.mayPublish(principal, clientId, topic);
  }

  #refusalOf(
    message: Message,
    one: Destination,
    publisher: Session | undefined,
    /** How many queues can still be made. */
    room: { queues: number },
  ): RouteRefusal | undefined {
    const { store, streams, queues } = this.#context;
    if (one.kind === "event") return this.#context.check(this.#eventOf(message, one), publisher);
    const refusal = store.refusal();
    if (refusal !== undefined) return refusal === "pending-full" ? "busy" : "full";
    if (one.kind === "queue") {
      const queue = queues.get(one.name);
      const canTake = queue === undefined ? room.queues-- > 0 : !queue.isFull;
      return canTake ? undefined : "full";
    }
    const stream = streams.get(one.name);
    if (stream === undefined) return "not-found";
    return stream.isFull ? "full" : undefined;
  }

  /** Streams and queues before events: an event that one of these streams captures must not take the room that was found. */
  #sendAll(
    message: Message,
    to: readonly Destination[],
    publisher: Session | undefined,
    messageId: string | undefined,
  ): RouteResult {
    const parts = new Map<Destination, RoutedPart>();
    let commit = NO_COMMIT;
    for (const one of to) {
      if (one.kind === "event") continue;
      const kept = this.#keep(message, one, messageId);
      if (kept.commit > commit) commit = kept.commit;
      parts.set(one, kept.part);
    }
    for (const one of to) {
      if (one.kind !== "event") continue;
      const accepted = this.#context.accept(this.#eventOf(message, one), publisher);
      parts.set(one, { to: one, refusal: undefined, isUnheard: !accepted.isHeard });
      if (accepted.commit > commit) commit = accepted.commit;
    }
    return { isTaken: true, parts: to.flatMap((one) => parts.get(one) ?? []), commit };
  }

  #keep(
    message: Message,
    one: Destination,
    messageId: string | undefined,
  ): { readonly part: RoutedPart; readonly commit: CommitNumber } {
    const { streams, queues, topics } = this.#context;
    const isNamed = message.topic.text !== "";
    const kept = {
      ...message,
      retain: false,
      topic: isNamed ? message.topic : topics.of(one.name),
    };
    if (one.kind === "queue") {
      const queue = queues.open(one.name);
      const sent = queue === undefined ? undefined : queues.send(queue, kept, { messageId }, true);
      if (sent?.isTaken !== true) return refused(one, "full");
      const { sequence, isDuplicate, commit } = sent;
      return { part: { to: one, refusal: undefined, sequence, isDuplicate }, commit };
    }
    const stream = streams.get(one.name);
    if (stream === undefined) return refused(one, "not-found");
    const messages = [{ message: kept, messageId }];
    const { sequences, duplicates, commit } = stream.appendChecked(messages, message.receivedAt);
    const isDuplicate = duplicates > 0;
    return { part: { to: one, refusal: undefined, sequence: sequences[0], isDuplicate }, commit };
  }

  #eventOf(message: Message, { name }: Destination): Message {
    return { ...message, retain: false, topic: this.#context.topics.of(name) };
  }
}

/** What was checked before cannot refuse; if it does, it is said. */
function refused(
  to: Destination,
  refusal: RouteRefusal,
): { readonly part: RoutedPart; readonly commit: CommitNumber } {
  return { part: { to, refusal }, commit: NO_COMMIT };
}
