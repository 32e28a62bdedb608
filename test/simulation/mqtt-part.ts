/** MQTT clients of a simulated world whose sessions end with their connections: listeners to events, requesters and responders. */
import assert from "node:assert/strict";
import { ProtocolVersion } from "../../src/mqtt/packet.ts";
import type { Received } from "../support/virtual-client.ts";
import { EVENTS, type EventsWork, type Listener } from "./events-work.ts";
import { type Devices, MqttPeer, NOTHING } from "./mqtt-peer.ts";
import type { Reply, RequestBook, Responder } from "./request-book.ts";
import { payloadBytes, type Stage, type Step } from "./stage.ts";

const NO_MATCHING_SUBSCRIBERS = 0x10;
const REPLY_TOPIC = "r/m0";

/** A request that a client got and has not answered. */
interface Open {
  readonly peer: MqttPeer;
  readonly key: string;
  readonly replyTopic: string;
  readonly correlationData: Uint8Array | undefined;
}

export class MqttPart {
  readonly steps: readonly Step[];
  readonly #stage: Stage;
  readonly #events: EventsWork;
  readonly #book: RequestBook;
  readonly #peers: readonly MqttPeer[];
  readonly #devices: readonly Devices[];
  readonly #requester: MqttPeer;
  #open: Open[] = [];
  /** By the payload of the reply. */
  readonly #replies = new Map<string, Reply>();
  readonly #got = new Set<string>();

  constructor(
    stage: Stage,
    events: EventsWork,
    book: RequestBook,
    devices: readonly Devices[] = [],
  ) {
    this.#stage = stage;
    this.#devices = devices;
    this.#events = events;
    this.#book = book;
    const { v311, v5 } = ProtocolVersion;
    this.#requester = new MqttPeer(stage, "m0", v5, [REPLY_TOPIC], {
      ...NOTHING,
      written: (message) => this.#onReply(message),
    });
    this.#peers = [
      this.#listener("l0", v5, `${EVENTS}/#`, false),
      this.#listener("l1", v311, `${EVENTS}/+`, false),
      this.#listener("l2", v5, `${EVENTS}/#`, true),
      this.#requester,
      this.#responder("m1", v5, "svc/a", (message) => message.properties.responseTopic),
      this.#responder("d0", v311, "cmd/dev/+", ({ topic }) => topic.replace("cmd/", "reply/")),
      ...devices.flatMap(({ peers }) => peers),
    ];
    this.steps = [
      [24, "mqtt-network", () => this.network(1 + stage.below(4))],
      [1.5, "mqtt-break", () => stage.pick(this.#peers).lose()],
      [2, "mqtt-connect", () => this.connectAll()],
      [1, "mqtt-slow", () => this.#slowDown()],
      [3, "mqtt-request", () => this.#ask()],
      [8, "mqtt-reply", () => this.#replySome()],
      ...devices.flatMap(({ steps }) => steps),
    ];
  }

  get isQuiet(): boolean {
    const areDone = this.#devices.every(({ isDone }) => isDone);
    return areDone && this.#peers.every((peer) => peer.isQuiet);
  }

  connectAll(): void {
    for (const peer of this.#peers) if (!peer.isConnected) peer.connect();
  }

  network(count: number): void {
    const { hasFaults } = this.#stage;
    for (const peer of this.#peers) {
      if (hasFaults && this.#stage.chance(0.6)) continue;
      for (let i = 0; i < count; i++) peer.out();
      if (!hasFaults || this.#stage.chance(0.7)) peer.in();
    }
  }

  collect(): void {
    for (const peer of this.#peers) peer.collect();
    for (const one of this.#devices) one.onJudged();
  }

  checkBounds(): void {
    for (const one of this.#devices) one.checkBounds();
  }

  crashed(): void {
    for (const peer of this.#peers) peer.crashed();
    for (const one of this.#devices) one.onCrash();
  }

  check(): void {
    for (const one of this.#devices) one.check();
  }

  drain(): void {
    this.connectAll();
    for (const peer of this.#peers) if (!peer.hasRoom) peer.setRoom(true);
    this.network(20);
    for (const one of this.#devices) one.drain();
    for (const open of this.#open.splice(0)) this.#reply(open);
  }

  #listener(
    clientId: string,
    version: ProtocolVersion,
    filter: string,
    isGroup: boolean,
  ): MqttPeer {
    let listener: Listener | undefined;
    const topicFilter = isGroup ? `$share/crew/${filter}` : filter;
    const peer: MqttPeer = new MqttPeer(this.#stage, clientId, version, [topicFilter], {
      ...NOTHING,
      dialled: () => {
        const hasRoom = (): boolean => peer.hasRoom;
        listener = this.#events.joined({ name: clientId, clientId, filter, isGroup, hasRoom });
      },
      subscribed: () => {
        if (listener !== undefined) listener.isOpen = true;
      },
      written: ({ topic, payload }) => {
        if (listener !== undefined) this.#events.took(listener, topic, payload);
      },
      over: () => {
        if (listener !== undefined) this.#events.left(listener);
      },
    });
    return peer;
  }

  #responder(
    clientId: string,
    version: ProtocolVersion,
    filter: string,
    replyTopicOf: (message: Received) => string | undefined,
  ): MqttPeer {
    let responder: Responder | undefined;
    const peer: MqttPeer = new MqttPeer(this.#stage, clientId, version, [filter], {
      ...NOTHING,
      dialled: () => {
        const hasRoom = (): boolean => peer.hasRoom;
        const credit = Number.POSITIVE_INFINITY;
        const group = undefined;
        const isBlocked = (): boolean => false;
        const fields = { name: clientId, filter, group, credit, hasRoom, isBlocked };
        responder = this.#book.joined(fields);
      },
      subscribed: () => {
        if (responder !== undefined) responder.isOpen = true;
      },
      written: ({ payload, topic }) => {
        if (responder !== undefined) this.#book.given(responder, payload, topic, undefined);
      },
      read: (message) => {
        const replyTopic = replyTopicOf(message);
        assert.ok(replyTopic !== undefined, "a request without a response topic");
        const { correlationData } = message.properties;
        this.#open.push({ peer, key: message.payload, replyTopic, correlationData });
      },
      arriving: ({ payload }) => {
        const text = Buffer.from(payload).toString();
        const [reply, key = ""] = text.split("=");
        const isError = false;
        this.#replies.set(text, this.#book.replied(key, text, isError, undefined));
        assert.ok(reply !== undefined);
      },
      acknowledged: ({ payload }, reasonCode) => {
        const reply = this.#replies.get(Buffer.from(payload).toString());
        if (reply === undefined || version !== ProtocolVersion.v5) return;
        if (reasonCode === NO_MATCHING_SUBSCRIBERS) this.#book.refused(reply, "not-found");
        else this.#book.taken(reply);
      },
      over: () => {
        if (responder !== undefined) this.#book.left(responder);
        this.#open = this.#open.filter((open) => open.peer !== peer);
      },
    });
    return peer;
  }

  /** Asks by a publish with a response topic. */
  #ask(): void {
    const peer = this.#requester;
    if (!peer.isConnected || !peer.isQuiet) return;
    const topic = this.#stage.pick(["svc/a", "svc/b"]);
    const key = this.#stage.payload("x");
    this.#book.arrived(this.#book.ask(key, topic, undefined, undefined), undefined);
    const properties = { responseTopic: REPLY_TOPIC, correlationData: payloadBytes(key) };
    peer.publish(topic, key, { qos: this.#stage.pick([0, 1] as const), properties });
  }

  /** The answer to a publish: from somebody who got it, and not twice. */
  #onReply({ topic, payload, properties }: Received): void {
    assert.equal(topic, REPLY_TOPIC);
    const key = Buffer.from(properties.correlationData ?? []).toString();
    const error = properties.userProperties?.find(([name]) => name === "rill-error")?.[1];
    const text = error ?? payload;
    this.#book.checkAnswered(key, text);
    assert.ok(!this.#got.has(text), `${key}: ${text} came twice`);
    this.#got.add(text);
  }

  #replySome(): void {
    const [open] = this.#open.splice(this.#stage.below(this.#open.length), 1);
    if (open !== undefined) this.#reply(open);
  }

  #reply({ peer, key, replyTopic, correlationData }: Open): void {
    const properties = correlationData === undefined ? {} : { correlationData };
    const qos = this.#stage.pick([0, 1] as const);
    peer.publish(replyTopic, `${this.#stage.payload("y")}=${key}`, { qos, properties });
  }

  #slowDown(): void {
    const peer = this.#stage.pick(this.#peers);
    if (peer.isConnected) peer.setRoom(!peer.hasRoom);
  }
}
