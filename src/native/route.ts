/** `route`: one message to several destinations, to all of them or to none. */
import type { RoutedPart, RouteRefusal } from "../broker/routing.ts";
import type { Caller } from "./caller.ts";
import { checkContent, checkTopic, messageOf } from "./content.ts";
import type { ErrorCode, RouteFrame } from "./frame.ts";
import { type Handled, HOLD, Refusal } from "./refusal.ts";
import { mustLabel } from "./rights.ts";

/** The worst first: it is what the error says. */
const REFUSALS: readonly (readonly [RouteRefusal, ErrorCode, string])[] = [
  ["not-authorized", "not-authorized", "may not write to"],
  ["not-found", "not-found", "there is no"],
  ["full", "full", "no room in"],
];

export function route(caller: Caller, frame: RouteFrame): Handled {
  const { broker, options, session } = caller;
  const { topic, pattern, messageId } = frame;
  if (topic !== undefined) {
    checkTopic(topic, options, broker.counters);
    mustLabel(caller, topic, "");
  }
  checkContent(frame, options, broker.counters);
  const parsed = broker.routing.parse(frame.to, pattern, session);
  if (parsed === "not-authorized") {
    throw new Refusal("not-authorized", "there is no such route, or it may not be used");
  }
  if ("mistake" in parsed) throw new Refusal("bad-frame", parsed.mistake);
  for (const { kind, name } of parsed.destinations) {
    if (kind === "event") checkTopic(name, options, broker.counters);
  }
  const message = messageOf(frame, {
    topic: broker.topics.of(topic ?? ""),
    qos: 1,
    retain: false,
    publisherId: session.clientId,
    now: broker.clock.now(),
  });
  const { isTaken, parts, commit } = broker.routing.send(
    message,
    parsed.destinations,
    session,
    messageId,
  );
  if (!isTaken) return refusalOf(parts, frame.to);
  caller.answer(frame.id, commit, { parts: parts.map(shownPart) });
  return undefined;
}

/** @throws Refusal unless there is only no room just now */
function refusalOf(parts: readonly RoutedPart[], asked: string): Handled {
  for (const [refusal, code, text] of REFUSALS) {
    const part = parts.find((one) => one.refusal === refusal);
    if (part !== undefined) throw new Refusal(code, `${text} ${shownName(part, asked)}`);
  }
  return HOLD;
}

/** What a route of the configuration stands for is not told to who may not write there. */
const shownName = ({ to: { kind, name } }: RoutedPart, asked: string): string =>
  asked.split(";").some((one) => one === name || one.endsWith(`:${name}`))
    ? `${kind} ${name}`
    : "what a route stands for";

function shownPart({ to, sequence, isDuplicate, isUnheard }: RoutedPart): object {
  return {
    to: `${to.kind}:${to.name}`,
    ...(sequence === undefined ? {} : { sequence }),
    ...(isDuplicate === true ? { duplicate: true } : {}),
    ...(isUnheard === true ? { reached: false } : {}),
  };
}
