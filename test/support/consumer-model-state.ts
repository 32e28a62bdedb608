/** What the model of durable consumers knows: of records, of consumers and of the subs that have a share of them. */

export interface ModelRecord {
  readonly sequence: number;
  readonly text: string;
  readonly topic: string;
  /** Time of the log. */
  readonly at: number;
  readonly expiryMs: number | undefined;
}

export interface ModelSettings {
  /** Undefined: all topics. */
  readonly filter: string | undefined;
  readonly ackWaitMs: number;
  readonly unackedMax: number;
  readonly deliveriesMax: number;
}

export interface Entry {
  count: number;
  /** Nobody gets it before so much time has passed since then. */
  hidden: { readonly at: number; readonly forMs: number } | undefined;
  /** The key of the sub that has it in hands; `ONE_OF_THEM` until that is seen. */
  holder: number | undefined;
}

export interface ModelConsumer {
  /** Another one for each that is made, whatever its name. */
  readonly key: number;
  readonly name: string;
  settings: ModelSettings;
  /** The first that is not settled. */
  floor: number;
  readonly settled: Set<number>;
  /** What was handed out before. */
  readonly entries: Map<number, Entry>;
}

/** All that is on disk once it is flushed. */
export interface State {
  records: readonly ModelRecord[];
  nextSequence: number;
  purgedBefore: number;
  consumers: Map<string, ModelConsumer>;
  /** How many consumers were ever made. */
  made: number;
  dead: string[];
}

/** A connection's share of a consumer. */
export interface ModelSub {
  readonly key: number;
  readonly consumer: number;
  readonly isGroup: boolean;
  credit: number;
  /** By sequence, the count of its last delivery here. */
  readonly delivered: Map<number, number>;
}

export interface ModelDelivery {
  readonly sequence: number;
  readonly count: number;
}

/** When the stream lets go of records besides those that all consumers have settled. */
export interface Retention {
  readonly messagesMax: number | undefined;
  readonly ageMaxMs: number | undefined;
  readonly isUntilDelivered: boolean;
}

/** A stamp of the log, earlier by the time spent off that the log has missed since: what is set for a while ends so much earlier. */
export type StampOf = (stamp: number) => number;

function cloneConsumer(consumer: ModelConsumer): ModelConsumer {
  const entries = [...consumer.entries].map(
    ([sequence, entry]) => [sequence, { ...entry }] as const,
  );
  return { ...consumer, settled: new Set(consumer.settled), entries: new Map(entries) };
}

export const cloneState = (state: State): State => ({
  ...state,
  consumers: new Map([...state.consumers].map(([name, one]) => [name, cloneConsumer(one)])),
  dead: [...state.dead],
});

/** The consumer needs this record no more. */
export function isDone(consumer: ModelConsumer, { sequence, topic }: ModelRecord): boolean {
  const { floor, settled, settings } = consumer;
  const isMeant = settings.filter === undefined || settings.filter === topic;
  return sequence < floor || settled.has(sequence) || !isMeant;
}
