/** Who may do what to streams and queues: rules name them as topics `$stream/NAME` and `$queue/NAME`. */
import type { Caller } from "./caller.ts";
import { Refusal } from "./refusal.ts";

export type Kind = "stream" | "queue";

const topicOf = (kind: Kind, name: string): string => `$${kind}/${name}`;

const denied = (what: string): Refusal => new Refusal("not-authorized", `may not ${what}`);

/** @throws Refusal unless it may publish to a topic */
export function mustPublish({ broker, session }: Caller, topic: string): void {
  const { principal, clientId } = session;
  if (!broker.authorizer.mayPublish(principal, clientId, topic)) {
    throw denied("publish to this topic");
  }
}

/**
 * The topic of a record, or of a message of a queue, is taken for where it was published: by who reads it, and by uplinks.
 * Hot path: per message that names one.
 * @throws Refusal unless it may publish there; to that of the stream or queue itself it may
 */
export function mustLabel(caller: Caller, topic: string, own: string): void {
  if (topic !== own && !caller.broker.authorizer.isOpen) mustPublish(caller, topic);
}

/**
 * What captures topics and refuses when it is full refuses for those who publish there.
 * @throws Refusal unless it may publish to all that these filters match
 */
export function mustHoldUp({ broker, session }: Caller, filters: readonly string[]): void {
  const { principal, clientId } = session;
  for (const filter of filters) {
    if (!broker.authorizer.mayPublishAll(principal, clientId, filter)) {
      throw denied("hold up those who publish what this filter matches");
    }
  }
}

/** @throws Refusal unless it may receive all that a filter matches */
export function mustSubscribe(caller: Caller, filter: string): void {
  if (!maySubscribe(caller, filter)) throw denied("subscribe to this filter");
}

export const maySubscribe = ({ broker, session }: Caller, filter: string): boolean =>
  broker.authorizer.maySubscribe(session.principal, session.clientId, filter);

/** @throws Refusal unless it may put something into a stream or queue */
export function mustWrite({ broker, session }: Caller, kind: Kind, name: string): void {
  const { principal, clientId } = session;
  if (!broker.authorizer.mayPublish(principal, clientId, topicOf(kind, name))) {
    throw denied(`write to this ${kind}`);
  }
}

export const mayRead = (caller: Caller, kind: Kind, name: string): boolean =>
  maySubscribe(caller, topicOf(kind, name));

/** @throws Refusal unless it may read from a stream or queue */
export function mustRead(caller: Caller, kind: Kind, name: string): void {
  if (!mayRead(caller, kind, name)) throw denied(`read from this ${kind}`);
}
/** @throws Refusal unless it may make, change, empty and delete a stream or queue */
export function mustManage(caller: Caller, kind: Kind, name: string): void {
  mustWrite(caller, kind, name);
  mustRead(caller, kind, name);
}

/** Whether it appears in lists: asked about many, so that nothing is noted as an attempt. */
export const maySee = ({ broker, session }: Caller, kind: Kind, name: string): boolean =>
  broker.authorizer.mayReceive(session.principal, session.clientId, topicOf(kind, name));
