/**
 * A long file, because it is one table. Known differences to other brokers. Each names the statement that decides, who is right, and the least script that shows it:
 * a test plays these scripts and fails when a difference is gone. What no rule matches is a failure of `npm run differential`.
 */

import type { Received } from "./actor.ts";
import { type Difference, matchingBefore, onlyOneSaw, seenUnlike, stateBefore } from "./compare.ts";
import type { ConnectStep, PublishStep, Script, Step, SubscribeStep } from "./script.ts";

/** One known difference. */
export interface TriageRule {
  readonly name: string;
  readonly peer: "mosquitto" | "aedes";
  /** A statement such as MQTT-3.8.4-6 or a section, of 5.0 unless it says otherwise. */
  readonly clause: string;
  readonly right: "rillmq" | "both";
  readonly why: string;
  readonly script: Script;
  /** What comes behind it does not follow from it, and is compared as if it were not there. */
  readonly isLocal?: true;
  /** It depends on who is faster, and so the script does not always show it. */
  readonly isRace?: true;
  readonly matches: (difference: Difference) => boolean;
}

const WILL = "will";

const connect = (client: 0 | 1, fields: Partial<ConnectStep> = {}): ConnectStep => ({
  does: "connect",
  client,
  clean: true,
  lasts: false,
  ...fields,
});

const subscribe = (
  client: 0 | 1,
  filter: string,
  fields: Partial<SubscribeStep> = {},
): SubscribeStep => ({
  does: "subscribe",
  client,
  filter,
  qos: 0,
  noLocal: false,
  retainAsPublished: false,
  retainHandling: 0,
  identifier: 0,
  ...fields,
});

const publish = (client: 0 | 1, topic: string, fields: Partial<PublishStep> = {}): PublishStep => ({
  does: "publish",
  client,
  topic,
  qos: 0,
  retain: false,
  payload: "m",
  alias: 0,
  ...fields,
});

const v4 = (...steps: Step[]): Script => ({ version: 4, steps });
const v5 = (...steps: Step[]): Script => ({ version: 5, steps });

/** The step is a CONNECT whose client is connected already. */
const isTakeover = ({ script, index, step }: Difference): boolean =>
  step.does === "connect" && stateBefore(script, index, step.client).isConnected;

/** There was such a step before, of the client that saw something. */
const hadTakeover = ({ script, index, client }: Difference): boolean =>
  script.steps
    .slice(0, index)
    .some(
      (step, at) =>
        step.does === "connect" &&
        step.client === client &&
        stateBefore(script, at, client).isConnected,
    );

/** There was such a step up to this one, of a client with a will. */
function hadTakeoverWithWill({ script, index }: Difference): boolean {
  return script.steps.slice(0, index + 1).some((step, at) => {
    if (step.does !== "connect" || !stateBefore(script, at, step.client).isConnected) return false;
    const last = script.steps
      .slice(0, at)
      .findLast((each) => each.does === "connect" && each.client === step.client);
    return last?.does === "connect" && last.will !== undefined;
  });
}

const areWills = (messages: readonly { readonly payload: string }[]): boolean =>
  messages.length > 0 && messages.every(({ payload }) => payload === WILL);

/** Both saw the same messages, and each that differs differs in this way. */
function areUnlike(
  difference: Difference,
  isSo: (ours: Received, theirs: Received) => boolean,
): boolean {
  const { ours, theirs } = onlyOneSaw(difference);
  const pairs = seenUnlike(difference);
  if (difference.kind !== "messages" || ours.length + theirs.length > 0) return false;
  return pairs.length > 0 && pairs.every(([own, other]) => isSo(own, other));
}

const isSame = (a: Received, b: Received): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Theirs came at a lower QoS than ours, where more than one subscription matches. */
const areAtLowerQos = (difference: Difference): boolean =>
  areUnlike(
    difference,
    (ours, theirs) =>
      theirs.qos < ours.qos &&
      isSame({ ...ours, qos: 0 }, { ...theirs, qos: 0 }) &&
      matchingBefore(difference, ours.topic).length > 1,
  );

/** The client made a subscription and then one with the same filter and other options. */
function wasMadeAgainOtherwise({ script, index, client }: Difference): boolean {
  const made = script.steps
    .slice(0, index)
    .filter((step) => step.does === "subscribe")
    .filter((step) => step.client === client);
  return made.some((step, at) =>
    made
      .slice(at + 1)
      .some(
        ({ filter, noLocal, retainAsPublished }) =>
          filter === step.filter &&
          (noLocal !== step.noLocal || retainAsPublished !== step.retainAsPublished),
      ),
  );
}

/** One side alone sees what the client itself publishes in this step. */
function isOwnMessageAlone(difference: Difference): boolean {
  const { step, client, kind } = difference;
  const { ours, theirs } = onlyOneSaw(difference);
  return (
    kind === "messages" &&
    step.does === "publish" &&
    step.client === client &&
    ours.length + theirs.length === 1
  );
}

/** They alone closed a connection: it is told, seen in the next answer, or seen in its will. */
function isClosedByThem(difference: Difference): boolean {
  const { kind, ours, theirs } = difference;
  if (kind === "end") return ours.end === undefined && theirs.end === "closed";
  if (kind === "answer") return theirs.answer === undefined || theirs.answer === "closed";
  const alone = onlyOneSaw(difference);
  return alone.ours.length === 0 && areWills(alone.theirs);
}

/** The client itself published it, the last to do so at this topic. */
function isOf({ script, index, client }: Difference, { topic, payload }: Received): boolean {
  const last = script.steps
    .slice(0, index)
    .findLast(
      (step, at) =>
        step.does === "publish" &&
        step.topic === topic &&
        step.retain &&
        stateBefore(script, at, step.client).isConnected,
    );
  if (payload === WILL) return true;
  return last?.does === "publish" && last.client === client && last.payload === payload;
}

const lastingWill = { topic: "a", qos: 1, retain: false } as const;

/** All that is known. */
export const TRIAGE: readonly TriageRule[] = [
  {
    name: "mosquitto says nothing to the client whose session is taken over",
    peer: "mosquitto",
    clause: "MQTT-3.1.4-3",
    right: "rillmq",
    why: "DISCONNECT with 0x8E is to be sent before the older connection is closed.",
    script: v5(connect(0), connect(0)),
    isLocal: true,
    matches: (difference) =>
      difference.kind === "end" &&
      isTakeover(difference) &&
      difference.ours.end === "DISCONNECT 0x8e" &&
      difference.theirs.end === "closed",
  },
  {
    name: "mosquitto sends no will when a session is taken over",
    peer: "mosquitto",
    clause: "MQTT-3.1.2-8",
    right: "rillmq",
    why: "The network connection closed without DISCONNECT from the client, so the will is published.",
    script: v4(
      connect(1),
      subscribe(1, "a"),
      connect(0, { clean: false, will: lastingWill }),
      connect(0, { clean: false }),
    ),
    matches: (difference) =>
      difference.kind === "messages" &&
      hadTakeoverWithWill(difference) &&
      areWills(onlyOneSaw(difference).ours) &&
      // Where the will is retained, they have what was retained before.
      onlyOneSaw(difference).theirs.every(({ retain }) => retain),
  },
  {
    name: "mosquitto delivers at the lower QoS where subscriptions overlap",
    peer: "mosquitto",
    clause: "MQTT-3.3.4-2",
    right: "rillmq",
    why: "The maximum QoS of all matching subscriptions is to be respected (3.1.1: MQTT-3.3.5-1).",
    script: v4(
      connect(0),
      subscribe(0, "a"),
      subscribe(0, "#", { qos: 1 }),
      publish(0, "a", { qos: 1 }),
    ),
    isLocal: true,
    matches: (difference) => areAtLowerQos(difference),
  },
  {
    name: "mosquitto keeps the options of a subscription that is made again with others",
    peer: "mosquitto",
    clause: "MQTT-3.8.4-3",
    right: "rillmq",
    why: "A subscription with the same filter replaces the older one, No Local and Retain As Published included.",
    script: v5(
      connect(0),
      subscribe(0, "a", { retainAsPublished: true }),
      subscribe(0, "a"),
      publish(0, "a", { retain: true }),
    ),
    isLocal: true,
    matches: (difference) =>
      wasMadeAgainOtherwise(difference) &&
      (areUnlike(difference, (ours, theirs) =>
        isSame({ ...ours, retain: theirs.retain }, theirs),
      ) ||
        isOwnMessageAlone(difference)),
  },
  {
    name: "mosquitto sends a client's own retained message to its subscription with No Local",
    peer: "mosquitto",
    clause: "MQTT-3.8.3-3",
    right: "rillmq",
    why: "Messages must not go to a connection with the Client Identifier that published them, retained ones included.",
    script: v5(connect(0), publish(0, "a", { retain: true }), subscribe(0, "a", { noLocal: true })),
    isLocal: true,
    matches: (difference) =>
      difference.kind === "messages" &&
      difference.step.does === "subscribe" &&
      difference.step.noLocal &&
      onlyOneSaw(difference).ours.length === 0 &&
      onlyOneSaw(difference).theirs.length > 0 &&
      onlyOneSaw(difference).theirs.every((message) => message.retain && isOf(difference, message)),
  },
  {
    name: "mosquitto delivers a will to the clean session that ended with it",
    peer: "mosquitto",
    clause: "MQTT-3.1.2-8",
    right: "both",
    why: "Session and network connection end together; the standard does not say whether the will comes before.",
    script: v4(connect(0, { will: lastingWill }), subscribe(0, "a"), connect(0, { clean: false })),
    isLocal: true,
    matches: (difference) =>
      difference.kind === "messages" &&
      isTakeover(difference) &&
      difference.step.client === difference.client &&
      areWills(onlyOneSaw(difference).theirs) &&
      onlyOneSaw(difference).ours.length === 0,
  },
  {
    name: "aedes forgets a session without subscriptions",
    peer: "aedes",
    clause: "MQTT-3.2.2-2 of 3.1.1",
    right: "rillmq",
    why: "There is a stored session, and CONNACK is to say so.",
    script: v4(
      connect(0, { clean: false }),
      { does: "disconnect", client: 0 },
      connect(0, { clean: false }),
    ),
    isLocal: true,
    matches: (difference) =>
      difference.kind === "answer" &&
      difference.step.does === "connect" &&
      stateBefore(difference.script, difference.index, difference.client).subscriptions.size ===
        0 &&
      difference.ours.answer === "present 0x00" &&
      difference.theirs.answer === "new 0x00",
  },
  {
    name: "aedes delivers a will at QoS 0 to the session that is being taken over",
    peer: "aedes",
    clause: "section 4.3.1 of 3.1.1",
    right: "both",
    why: "For a moment the session has no connection, and QoS 0 may be dropped or kept then.",
    script: v4(
      connect(0, { clean: false, will: lastingWill }),
      subscribe(0, "a"),
      connect(0, { clean: false }),
    ),
    isLocal: true,
    matches: (difference) =>
      difference.kind === "messages" &&
      isTakeover(difference) &&
      difference.step.client === difference.client &&
      areWills(onlyOneSaw(difference).theirs) &&
      onlyOneSaw(difference).theirs.every(({ qos }) => qos === 0) &&
      onlyOneSaw(difference).ours.length === 0,
  },
  {
    name: "aedes closes a connection in the middle of a delivery with QoS 1 or 2",
    peer: "aedes",
    clause: "MQTT-4.8.0-1 of 3.1.1",
    right: "rillmq",
    why: "The acknowledgement comes while it still stores the message; it takes that for an error of the client.",
    script: v4(
      connect(0, { clean: false }),
      connect(1),
      subscribe(0, "a", { qos: 2 }),
      publish(1, "a", { qos: 2 }),
    ),
    isRace: true,
    matches: (difference) =>
      isClosedByThem(difference) &&
      difference.script.steps.some(
        (step) =>
          (step.does === "publish" && step.qos > 0) ||
          (step.does === "connect" && (step.will?.qos ?? 0) > 0),
      ),
  },
  {
    name: "aedes delivers above the granted QoS",
    peer: "aedes",
    clause: "MQTT-3.8.4-6 of 3.1.1",
    right: "rillmq",
    why: "The QoS is the lower of what was published and what was granted, for retained messages too.",
    script: v4(
      connect(0, { clean: false }),
      publish(0, "a", { qos: 1, retain: true }),
      subscribe(0, "#"),
    ),
    isLocal: true,
    matches: (difference) =>
      areUnlike(
        difference,
        (ours, theirs) =>
          theirs.qos > ours.qos && isSame({ ...ours, qos: 0 }, { ...theirs, qos: 0 }),
      ),
  },
  {
    name: "aedes delivers at the lower QoS where subscriptions overlap",
    peer: "aedes",
    clause: "MQTT-3.3.5-1 of 3.1.1",
    right: "rillmq",
    why: "The maximum QoS of all matching subscriptions is to be respected.",
    script: v4(
      connect(0),
      subscribe(0, "a", { qos: 1 }),
      subscribe(0, "#"),
      publish(0, "a", { qos: 1 }),
    ),
    isLocal: true,
    matches: (difference) => areAtLowerQos(difference),
  },
  {
    name: "aedes sets RETAIN in what an established subscription gets",
    peer: "aedes",
    clause: "MQTT-3.3.1-9 of 3.1.1",
    right: "rillmq",
    why: "RETAIN is 0 for a subscription that was there before; it keeps the flag with what waits for a session.",
    script: v4(
      connect(0, { clean: false }),
      subscribe(0, "a", { qos: 1 }),
      { does: "disconnect", client: 0 },
      connect(1),
      publish(1, "a", { qos: 1, retain: true }),
      connect(0, { clean: false }),
    ),
    isLocal: true,
    matches: (difference) =>
      difference.step.does === "connect" &&
      areUnlike(
        difference,
        (ours, theirs) =>
          theirs.retain &&
          !ours.retain &&
          theirs.qos >= ours.qos &&
          isSame({ ...ours, retain: true, qos: theirs.qos }, theirs),
      ),
  },
  {
    name: "aedes finds no retained message whose last level is empty",
    peer: "aedes",
    clause: "section 4.7.1.3 of 3.1.1",
    right: "rillmq",
    why: "A level may be empty, and + matches it.",
    script: v4(connect(0), publish(0, "a/", { retain: true }), subscribe(0, "a/+")),
    isLocal: true,
    matches: (difference) =>
      difference.kind === "messages" &&
      difference.step.does === "subscribe" &&
      onlyOneSaw(difference).theirs.length === 0 &&
      onlyOneSaw(difference).ours.length > 0 &&
      onlyOneSaw(difference).ours.every(({ topic, retain }) => retain && topic.endsWith("/")),
  },
  {
    name: "aedes loses the will of a client for its own session when that is taken over",
    peer: "aedes",
    clause: "MQTT-3.1.2-8 of 3.1.1",
    right: "rillmq",
    why: "The session has a subscription with QoS 1 or 2 that matches, and gets what comes while it has no connection.",
    script: v4(
      connect(0, { clean: false, will: { ...lastingWill, topic: "a/" } }),
      subscribe(0, "+/+", { qos: 1 }),
      connect(0, { clean: false }),
    ),
    isLocal: true,
    matches: (difference) =>
      difference.kind === "messages" &&
      isTakeover(difference) &&
      difference.step.client === difference.client &&
      areWills(onlyOneSaw(difference).ours) &&
      onlyOneSaw(difference).theirs.length === 0,
  },
  {
    name: "aedes loses messages for a session that was taken over",
    peer: "aedes",
    clause: "MQTT-3.1.2-4 of 3.1.1",
    right: "rillmq",
    why: "The subscriptions of the session go on; the older connection's end takes them away.",
    script: v4(
      connect(0, { clean: false, will: { ...lastingWill, qos: 2 } }),
      connect(1),
      subscribe(0, "a", { qos: 2 }),
      connect(0, { clean: false }),
      publish(1, "a"),
    ),
    isRace: true,
    matches: (difference) =>
      difference.kind === "messages" &&
      onlyOneSaw(difference).ours.length > 0 &&
      onlyOneSaw(difference).theirs.length === 0 &&
      hadTakeover(difference),
  },
  {
    name: "mosquitto sends retained messages to a new shared subscription",
    peer: "mosquitto",
    clause: "section 4.8.2",
    right: "rillmq",
    why: "No retained messages are sent to the session when a shared subscription is first made, nor later.",
    script: v5(connect(0), publish(0, "a", { retain: true }), subscribe(0, "$share/g0/a")),
    isLocal: true,
    matches: (difference) =>
      difference.kind === "messages" &&
      difference.step.does === "subscribe" &&
      difference.step.filter.startsWith("$share/") &&
      onlyOneSaw(difference).ours.length === 0 &&
      onlyOneSaw(difference).theirs.every(({ retain }) => retain),
  },
];
