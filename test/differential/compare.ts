/** Where two traces of one script part. */
import { filterMatches } from "../../src/broker/topic.ts";
import type { Received } from "./actor.ts";
import type { Sight, Trace } from "./play.ts";
import type { ClientNumber, Script, Step, SubscribeStep } from "./script.ts";

/** Something that two brokers let a client see differently. */
export interface Difference {
  readonly script: Script;
  /** Of the step where they part. */
  readonly index: number;
  readonly step: Step;
  /** Who saw it. */
  readonly client: ClientNumber;
  readonly kind: "answer" | "end" | "messages";
  readonly ours: Sight;
  readonly theirs: Sight;
}

/** All differences, in order; those behind the first may follow from it. */
export function differencesOf(script: Script, ours: Trace, theirs: Trace): Difference[] {
  const found: Difference[] = [];
  for (const [index, step] of script.steps.entries()) {
    for (const [client, own] of (ours[index] ?? []).entries()) {
      const other = theirs[index]?.[client];
      if (other === undefined) continue;
      for (const kind of ["answer", "end", "messages"] as const) {
        if (!differsIn(kind, own, other)) continue;
        found.push({ script, index, step, client: own.client, kind, ours: own, theirs: other });
      }
    }
  }
  return found;
}

function differsIn(kind: Difference["kind"], ours: Sight, theirs: Sight): boolean {
  if (kind === "answer") return ours.answer !== theirs.answer;
  if (kind === "end") return ours.end !== theirs.end;
  return JSON.stringify(ours.messages) !== JSON.stringify(theirs.messages);
}

/** For people. */
export function describeDifference({
  index,
  step,
  client,
  kind,
  ours,
  theirs,
}: Difference): string {
  const show = (sight: Sight): string =>
    kind === "messages"
      ? `[${sight.messages.map(describeMessage).join("; ")}]`
      : String(kind === "answer" ? sight.answer : sight.end);
  return `step ${index} (${step.does} of ${step.client}), client ${client}, ${kind}: ours ${show(ours)}, theirs ${show(theirs)}`;
}

function describeMessage({ topic, payload, qos, retain, identifiers }: Received): string {
  const ids = identifiers.length === 0 ? "" : ` ids ${identifiers.join(",")}`;
  return `${topic} "${payload}" q${qos}${retain ? " retain" : ""}${ids}`;
}

/** Messages that one side saw and the other did not, by topic and payload. */
export function onlyOneSaw({ ours, theirs }: Difference): {
  readonly ours: readonly Received[];
  readonly theirs: readonly Received[];
} {
  const missing = (from: Sight, than: Sight): Received[] =>
    from.messages.filter(
      ({ topic, payload }) =>
        !than.messages.some((each) => each.topic === topic && each.payload === payload),
    );
  return { ours: missing(ours, theirs), theirs: missing(theirs, ours) };
}

/** Pairs of what both sides saw, but not alike. */
export function seenUnlike({ ours, theirs }: Difference): (readonly [Received, Received])[] {
  const pairs: (readonly [Received, Received])[] = [];
  for (const own of ours.messages) {
    const other = theirs.messages.find(
      (each) => each.topic === own.topic && each.payload === own.payload,
    );
    if (other !== undefined && JSON.stringify(own) !== JSON.stringify(other))
      pairs.push([own, other]);
  }
  return pairs;
}

/** What a client has at some point of a script. */
interface ClientState {
  readonly subscriptions: Map<string, SubscribeStep>;
  isConnected: boolean;
  lasts: boolean;
}

/** The state of a client before this step. */
export function stateBefore(
  script: Script,
  index: number,
  client: ClientNumber,
): Readonly<ClientState> {
  const state: ClientState = { subscriptions: new Map(), isConnected: false, lasts: false };
  for (const step of script.steps.slice(0, index)) {
    if (step.client === client) advance(state, step, script.version);
  }
  return state;
}

function advance(state: ClientState, step: Step, version: 4 | 5): void {
  const { subscriptions, isConnected } = state;
  if (step.does === "connect") {
    if (step.clean || (isConnected && !state.lasts)) subscriptions.clear();
    state.isConnected = true;
    state.lasts = version === 5 ? step.lasts : !step.clean;
    return;
  }
  if (!isConnected) return;
  if (step.does === "subscribe") subscriptions.set(step.filter, step);
  else if (step.does === "unsubscribe") subscriptions.delete(step.filter);
  else if (step.does !== "publish") {
    if (!state.lasts) subscriptions.clear();
    state.isConnected = false;
  }
}

/** Those of them that match a topic. */
export function matchingBefore(difference: Difference, topic: string): SubscribeStep[] {
  const { script, index, client } = difference;
  return [...stateBefore(script, index, client).subscriptions.values()].filter(({ filter }) =>
    filterMatches(filter.replace(/^\$share\/[^/]+\//, ""), topic),
  );
}
