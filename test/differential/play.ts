/** Plays a script against a broker and notes what the clients see. */
import { PacketType } from "../../src/mqtt/packet.ts";
import type { Properties } from "../../src/mqtt/properties.ts";
import { Actor, type Received } from "./actor.ts";
import type {
  ClientNumber,
  ConnectStep,
  PublishStep,
  Script,
  Step,
  SubscribeStep,
} from "./script.ts";

/** No matching subscribers: a server may say so or not [MQTT 5.0 section 3.4.2.1]. */
const NO_SUBSCRIBERS = "0x10";
const ROUNDS_MAX = 30;
const SESSION_EXPIRY_SECONDS = 600;

/** Where a script is played. */
export interface Stage {
  readonly name: string;
  readonly port: number;
  /** Longest that this broker takes from what it was told to what its clients see, where no acknowledgement says so; ms. */
  readonly settleMs: number;
}

/** What one client saw in one step. */
export interface Sight {
  readonly client: ClientNumber;
  /** The answer to what it did itself; undefined: another client did something. */
  readonly answer: string | undefined;
  /** By topic, within it in the order of their coming. */
  readonly messages: readonly Received[];
  /** Its connection was ended, and how. */
  readonly end: string | undefined;
}

/** What was seen, step by step. */
export type Trace = readonly (readonly Sight[])[];

let plays = 0;

/**
 * Topics and Client Identifiers have a prefix of their own in every play, so that plays do not meet.
 * @param patience multiplies the times of settling
 */
export async function play(script: Script, stage: Stage, patience = 1): Promise<Trace> {
  const player = new Player(script, stage, patience);
  try {
    const trace: (readonly Sight[])[] = [];
    for (const step of script.steps) trace.push(await player.step(step));
    return trace;
  } finally {
    await player.close();
  }
}

class Player {
  readonly #script: Script;
  readonly #stage: Stage;
  readonly #patience: number;
  readonly #prefix = `d${process.pid}x${++plays}`;
  readonly #actors = new Map<ClientNumber, Actor>();
  readonly #aliases = new Map<ClientNumber, Map<number, string>>();
  readonly #known = new Set<ClientNumber>();
  #packetId = 0;

  constructor(script: Script, stage: Stage, patience: number) {
    this.#script = script;
    this.#stage = stage;
    this.#patience = patience;
  }

  /** Everything that the clients see of one step. */
  async step(step: Step): Promise<Sight[]> {
    const before = new Map(this.#actors);
    const answer = await this.#act(step);
    // What comes of a connection that is gone is not acknowledged to anybody.
    const isTakeover = step.does === "connect" && before.has(step.client);
    await this.#settle(step.does === "drop" || isTakeover);
    return ([0, 1, 2] as const).map((client) => {
      const actors = new Set([before.get(client), this.#actors.get(client)]);
      const own = step.client === client ? answer : undefined;
      return { client, answer: own, ...this.#seenBy(client, actors, step) };
    });
  }

  /** Messages and ends of the connections that a client has or had in this step. */
  #seenBy(
    client: ClientNumber,
    actors: ReadonlySet<Actor | undefined>,
    step: Step,
  ): Pick<Sight, "messages" | "end"> {
    const messages: Received[] = [];
    const isLeaving =
      step.client === client && (step.does === "disconnect" || step.does === "drop");
    let end: string | undefined;
    for (const actor of actors) {
      if (actor === undefined) continue;
      messages.push(...actor.takeMessages());
      if (!actor.isClosed) continue;
      if (!isLeaving) end = actor.farewell;
      if (this.#actors.get(client) === actor) this.#actors.delete(client);
    }
    return { messages: this.#normalized(messages), end };
  }

  /** Nothing of this play is left behind but retained messages under its prefix. */
  async close(): Promise<void> {
    for (const actor of this.#actors.values()) await actor.end(true);
    this.#actors.clear();
    for (const client of this.#known) {
      const actor = await Actor.open(this.#stage.port, this.#script.version);
      await actor.ask(
        {
          type: PacketType.connect,
          protocolVersion: this.#script.version,
          cleanStart: true,
          keepAliveSeconds: 0,
          clientId: this.#clientId(client),
          properties: {},
        },
        PacketType.connack,
      );
      actor.send({ type: PacketType.disconnect, reasonCode: 0 });
      await actor.end(false);
    }
  }

  #act(step: Step): Promise<string | undefined> {
    const actor = this.#actors.get(step.client);
    if (step.does === "connect") return this.#connect(step);
    if (actor === undefined || actor.isClosed) return Promise.resolve(undefined);
    return this.#actAs(actor, step);
  }

  async #actAs(actor: Actor, step: Exclude<Step, ConnectStep>): Promise<string | undefined> {
    if (step.does === "subscribe") return this.#subscribe(actor, step);
    if (step.does === "publish") return this.#publish(actor, step);
    if (step.does === "unsubscribe") {
      const packetId = this.#nextPacketId();
      const topicFilters = [this.#filter(step.filter)];
      const packet = { type: PacketType.unsubscribe, packetId, topicFilters };
      return actor.ask(packet, PacketType.unsuback, packetId);
    }
    const isAbrupt = step.does === "drop";
    if (!isAbrupt) actor.send({ type: PacketType.disconnect, reasonCode: 0 });
    await actor.end(isAbrupt);
    return undefined;
  }

  async #connect(step: ConnectStep): Promise<string> {
    const { client, clean, lasts, will } = step;
    const { version } = this.#script;
    const actor = await Actor.open(this.#stage.port, version);
    const older = this.#actors.get(client);
    this.#known.add(client);
    this.#aliases.set(client, new Map());
    const expiry = lasts ? { sessionExpirySeconds: SESSION_EXPIRY_SECONDS } : {};
    const answer = await actor.ask(
      {
        type: PacketType.connect,
        protocolVersion: version,
        cleanStart: clean,
        keepAliveSeconds: 0,
        clientId: this.#clientId(client),
        properties: version === 5 ? expiry : {},
        ...(will === undefined
          ? {}
          : {
              will: {
                topic: this.#topic(will.topic),
                payload: Buffer.from("will"),
                qos: will.qos,
                retain: will.retain,
                properties: {},
              },
            }),
      },
      PacketType.connack,
    );
    if (older !== undefined) await older.untilClosed();
    this.#actors.set(client, actor);
    return answer;
  }

  #subscribe(actor: Actor, step: SubscribeStep): Promise<string> {
    const { filter, qos, noLocal, retainAsPublished, retainHandling, identifier } = step;
    const packetId = this.#nextPacketId();
    const topicFilter = this.#filter(filter);
    const entry = { topicFilter, qos, noLocal, retainAsPublished, retainHandling };
    const properties = identifier === 0 ? {} : { subscriptionIdentifiers: [identifier] };
    return actor.ask(
      {
        type: PacketType.subscribe,
        packetId,
        subscriptions: [entry],
        ...(this.#script.version === 5 ? { properties } : {}),
      },
      PacketType.suback,
      packetId,
    );
  }

  async #publish(actor: Actor, step: PublishStep): Promise<string> {
    const { client, qos, retain, payload, alias } = step;
    const packetId = qos === 0 ? 0 : this.#nextPacketId();
    const topic = this.#topic(step.topic);
    const aliases = this.#aliases.get(client) ?? new Map<number, string>();
    const isKnown = alias > 0 && aliases.get(alias) === topic;
    if (alias > 0) aliases.set(alias, topic);
    const properties: Properties = alias === 0 ? {} : { topicAlias: alias };
    const packet = {
      type: PacketType.publish,
      dup: false,
      qos,
      retain,
      packetId,
      topic: isKnown ? "" : topic,
      payload: Buffer.from(payload),
      ...(this.#script.version === 5 ? { properties } : {}),
    };
    if (qos === 0) {
      actor.send(packet);
      await actor.ping();
      return actor.isClosed ? actor.farewell : "sent";
    }
    if (qos === 1) return plain(await actor.ask(packet, PacketType.puback, packetId));
    const received = plain(await actor.ask(packet, PacketType.pubrec, packetId));
    if (received !== "0x00") return received;
    const pubrel = { type: PacketType.pubrel, packetId, reasonCode: 0 } as const;
    return `0x00 ${await actor.ask(pubrel, PacketType.pubcomp, packetId)}`;
  }

  /** Until a round of pings brings nothing more. */
  async #settle(isUntold: boolean): Promise<void> {
    const { settleMs } = this.#stage;
    const waitMs = (isUntold ? Math.max(settleMs, 20) : settleMs) * this.#patience;
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    for (let round = 0, before = -1; round < ROUNDS_MAX; round++) {
      const actors = [...this.#actors.values()].filter((actor) => !actor.isClosed);
      for (const actor of actors) await actor.ping();
      const arrived = actors.reduce((sum, actor) => sum + actor.arrived, 0);
      if (arrived === before) return;
      before = arrived;
    }
  }

  /** Without the prefix; several copies of one message, one for each subscription, count as one [MQTT-3.3.4-2, 3.3.4-3]. */
  #normalized(messages: readonly Received[]): Received[] {
    const merged: Received[] = [];
    for (const message of messages) {
      const topic = message.topic.replace(`${this.#prefix}/`, "");
      const index = merged.findIndex(
        (each) => each.topic === topic && each.payload === message.payload,
      );
      const same = merged[index];
      if (same === undefined) {
        merged.push({ ...message, topic });
        continue;
      }
      merged[index] = {
        ...same,
        qos: Math.max(same.qos, message.qos),
        retain: same.retain || message.retain,
        identifiers: [...new Set([...same.identifiers, ...message.identifiers])].sort(
          (a, b) => a - b,
        ),
      };
    }
    return merged.sort((a, b) => (a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : 0));
  }

  #clientId(client: ClientNumber): string {
    return `${this.#prefix}c${client}`;
  }

  #topic(topic: string): string {
    return `${this.#prefix}/${topic}`;
  }

  #filter(filter: string): string {
    const shared = /^(\$share\/[^/]+\/)(.*)$/.exec(filter);
    return shared === null ? this.#topic(filter) : `${shared[1]}${this.#topic(shared[2] ?? "")}`;
  }

  #nextPacketId(): number {
    this.#packetId = (this.#packetId % 65_535) + 1;
    return this.#packetId;
  }
}

const plain = (code: string): string => (code === NO_SUBSCRIBERS ? "0x00" : code);
