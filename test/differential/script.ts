/** What two or three clients do one after the other, and how such scripts are drawn. */
import type { QoS } from "../../src/broker/message.ts";
import type { Chance } from "../fuzz/chance.ts";

/** Number of a client: its Client Identifier and network connection. */
export type ClientNumber = 0 | 1 | 2;

/** Of a CONNECT. */
export interface ConnectStep {
  readonly does: "connect";
  readonly client: ClientNumber;
  readonly clean: boolean;
  /** Version 5: whether the session outlives the connection. In 3.1.1 it does when it is not clean. */
  readonly lasts: boolean;
  readonly will?: { readonly topic: string; readonly qos: QoS; readonly retain: boolean };
}

export interface SubscribeStep {
  readonly does: "subscribe";
  readonly client: ClientNumber;
  readonly filter: string;
  readonly qos: QoS;
  /** Version 5 only, as the three below. */
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: 0 | 1 | 2;
  /** 0: none. */
  readonly identifier: number;
}

export interface UnsubscribeStep {
  readonly does: "unsubscribe";
  readonly client: ClientNumber;
  readonly filter: string;
}

export interface PublishStep {
  readonly does: "publish";
  readonly client: ClientNumber;
  readonly topic: string;
  readonly qos: QoS;
  readonly retain: boolean;
  /** An empty one removes a retained message. */
  readonly payload: string;
  /** Version 5: set with the topic, and used alone from then on; 0: none. */
  readonly alias: number;
}

/** Goes with DISCONNECT, or without a word. */
export interface LeaveStep {
  readonly does: "disconnect" | "drop";
  readonly client: ClientNumber;
}

/** One thing that one client does. What its state does not allow is passed over, so that a script may lose steps. */
export type Step = ConnectStep | SubscribeStep | UnsubscribeStep | PublishStep | LeaveStep;

export interface Script {
  readonly version: 4 | 5;
  readonly steps: readonly Step[];
}

const CLIENTS = [0, 0, 0, 1, 1, 2] as const;
const TOPICS = ["a", "b", "a/b", "a/b/c", "a/", "b/b"];
const FILTERS = ["a", "b", "a/b", "a/#", "+", "+/b", "#", "a/+/c", "a/+", "b/#", "+/+"];
const STEPS_MAX = 22;
const QOS = [0, 1, 2] as const;

/** @param chance decides everything */
export function drawScript(chance: Chance): Script {
  const version = chance.oneIn(2) ? 4 : 5;
  const steps: Step[] = [connectStep(chance, 0), connectStep(chance, 1)];
  const count = chance.between(3, STEPS_MAX);
  for (let i = 0; i < count; i++) steps.push(drawStep(chance, version, i));
  return { version, steps };
}

function connectStep(chance: Chance, client: ClientNumber): ConnectStep {
  const step = {
    does: "connect",
    client,
    clean: chance.oneIn(3),
    lasts: !chance.oneIn(3),
  } as const;
  if (!chance.oneIn(4)) return step;
  const will = { topic: chance.pick(TOPICS), qos: chance.pick(QOS), retain: chance.oneIn(3) };
  return { ...step, will };
}

function drawStep(chance: Chance, version: 4 | 5, index: number): Step {
  const client = chance.pick(CLIENTS);
  switch (chance.below(12)) {
    case 0:
    case 1:
    case 2:
      return subscribeStep(chance, version, client);
    case 3:
      return { does: "unsubscribe", client, filter: chance.pick(FILTERS) };
    case 4:
      return { does: chance.pick(["disconnect", "drop"]), client };
    case 5:
    case 6:
      return connectStep(chance, client);
    default:
      return {
        does: "publish",
        client,
        topic: chance.pick(TOPICS),
        qos: chance.pick(QOS),
        retain: chance.oneIn(4),
        payload: chance.oneIn(10) ? "" : `m${index}`,
        alias: version === 5 && chance.oneIn(4) ? chance.between(1, 3) : 0,
      };
  }
}

function subscribeStep(chance: Chance, version: 4 | 5, client: ClientNumber): SubscribeStep {
  const isV5 = version === 5;
  const isShared = isV5 && chance.oneIn(10);
  const filter = chance.pick(FILTERS);
  return {
    does: "subscribe",
    client,
    // A group for each client: with one member there is one way to share.
    filter: isShared ? `$share/g${client}/${filter}` : filter,
    qos: chance.pick(QOS),
    noLocal: isV5 && !isShared && chance.oneIn(5),
    retainAsPublished: isV5 && chance.oneIn(4),
    retainHandling: isV5 ? chance.pick([0, 0, 1, 2] as const) : 0,
    identifier: isV5 && chance.oneIn(3) ? chance.between(1, 9) : 0,
  };
}

/** One line a step, for people. */
export function describeScript({ version, steps }: Script): string {
  const lines = steps.map((step) => {
    const { does, client, ...rest } = step;
    const details = Object.entries(rest)
      .filter(([, value]) => value !== false && value !== 0 && value !== undefined)
      .map(([name, value]) => `${name}=${JSON.stringify(value)}`);
    return `  ${client} ${[does, ...details].join(" ")}`;
  });
  return [`version ${version === 5 ? "5" : "3.1.1"}`, ...lines].join("\n");
}
