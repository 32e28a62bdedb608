/**
 * MQTT devices that read a stream by subscribing to it, from its beginning or from a sequence: each connection gets one record after the other; a session
 * that lasts goes on behind what it acknowledged, and may only after a crash get more than that once again.
 */
import assert from "node:assert/strict";
import { ProtocolVersion } from "../../src/mqtt/packet.ts";
import type { Received } from "../support/virtual-client.ts";
import { type Devices, MqttPeer, NOTHING } from "./mqtt-peer.ts";
import type { Stage, Step } from "./stage.ts";
import { KEPT, type StreamWork } from "./stream-work.ts";

const FROM = 5;

interface Reading {
  readonly clientId: string;
  readonly start: number;
  readonly isDurable: boolean;
  /** What may come next; between the two after a crash. */
  nextMin: number;
  next: number;
  /** Came and is not acknowledged as far as the broker knows. */
  readonly unacked: Set<number>;
  /** Of a device that speaks 3.1.1, by connection: it is not told the sequences. */
  readonly lists: string[][];
}

export class StreamReaders implements Devices {
  /** Records that came. */
  read = 0;
  readonly peers: readonly MqttPeer[];
  readonly steps: readonly Step[];
  readonly #stage: Stage;
  readonly #streams: StreamWork;
  readonly #readings: Reading[] = [];
  /** Read and not acknowledged. */
  #open: (readonly [MqttPeer, Received])[] = [];

  constructor(stage: Stage, streams: StreamWork) {
    this.#stage = stage;
    this.#streams = streams;
    const { v5, v311 } = ProtocolVersion;
    this.peers = [
      this.#reader("v0", v5, `$stream/${KEPT}/first`, { start: 1, isDurable: true }),
      this.#reader("v1", v5, `$stream/${KEPT}/seq/${FROM}`, { start: FROM, isDurable: false }),
      this.#reader("v2", v311, `$stream/${KEPT}/first/#`, { start: 1, isDurable: true }),
    ];
    this.steps = [
      [4, "stream-ack", () => this.#ackSome()],
      [1, "stream-reader-break", () => stage.pick(this.peers).lose()],
    ];
  }

  get isDone(): boolean {
    return this.#open.length === 0;
  }

  onJudged(): void {
    // Everything is judged as it is written.
  }

  checkBounds(): void {
    // Nothing is bounded but the window, which the broker is told.
  }

  onCrash(): void {
    this.#open = [];
    for (const reading of this.#readings) {
      if (!reading.isDurable) continue;
      // What was noted last may be older.
      reading.nextMin = 1;
    }
  }

  drain(): void {
    for (const [peer, message] of this.#open.splice(0)) peer.ack(message);
  }

  check(): void {
    const { store } = this.#stage.node;
    const { nextSequence } = store.stats(store.openLog(KEPT));
    for (const { clientId, next, start, unacked, lists } of this.#readings) {
      const end = Math.max(start, nextSequence);
      if (lists.length === 0) assert.equal(next, end, `${clientId} has not read all of ${KEPT}`);
      assert.equal(unacked.size, 0, `${clientId} has not acknowledged all`);
      if (lists.length > 0) this.#checkLists(clientId, lists, nextSequence);
    }
  }

  /** Each connection got one record after the other, without a gap to what came before. */
  #checkLists(clientId: string, lists: readonly string[][], end: number): void {
    const { kept } = this.#streams;
    let before = 1;
    for (const list of lists) {
      const [first] = list;
      if (first === undefined) continue;
      const isHere = (from: number): boolean => list.every((one, i) => kept.isAt(from + i, one));
      // A publish that was repeated is there several times.
      const from = kept.sequencesOf(first).find((one) => one <= before && isHere(one));
      assert.ok(from !== undefined, `${clientId} had ${before} and got ${list.join(" ")}`);
      before = Math.max(before, from + list.length);
    }
    assert.equal(before, end, `${clientId} has not read all of ${KEPT}`);
  }

  #reader(
    clientId: string,
    version: ProtocolVersion,
    filter: string,
    { start, isDurable }: { readonly start: number; readonly isDurable: boolean },
  ): MqttPeer {
    const nextMin = start;
    const own = { unacked: new Set<number>(), lists: [] };
    const reading: Reading = { clientId, start, isDurable, nextMin, next: start, ...own };
    this.#readings.push(reading);
    const isOld = version === ProtocolVersion.v311;
    const peer: MqttPeer = new MqttPeer(
      this.#stage,
      clientId,
      version,
      [filter],
      {
        ...NOTHING,
        dialled: () => this.#dialled(reading, isOld),
        written: (message) => {
          this.read++;
          if (isOld) reading.lists.at(-1)?.push(message.payload);
          else this.#written(reading, message);
        },
        read: (message) => {
          if (message.qos === 0) return;
          if (this.#stage.chance(0.6)) peer.ack(message);
          else this.#open.push([peer, message]);
        },
        acking: ({ properties }) => {
          const sequence = new Map(properties.userProperties).get("rill-sequence");
          if (sequence !== undefined) reading.unacked.delete(Number(sequence));
        },
        over: () => {
          this.#open = this.#open.filter((one) => one[0] !== peer);
        },
      },
      { qos: 1, isDurable, receiveMaximum: 5 },
    );
    return peer;
  }

  #dialled(reading: Reading, isOld: boolean): void {
    if (isOld) reading.lists.push([]);
    if (!reading.isDurable) reading.next = reading.start;
    else for (const sequence of reading.unacked) reading.next = Math.min(reading.next, sequence);
    reading.unacked.clear();
    reading.nextMin = reading.isDurable ? Math.min(reading.nextMin, reading.next) : reading.next;
  }

  #written(reading: Reading, { payload, properties, qos }: Received): void {
    const { clientId, next, nextMin, unacked } = reading;
    const own = new Map(properties.userProperties);
    assert.equal(own.get("rill-stream"), KEPT);
    const sequence = Number(own.get("rill-sequence"));
    const what = `${clientId} got ${sequence}, not ${next}`;
    assert.ok(sequence <= next && sequence >= nextMin, what);
    this.#streams.kept.noteName(sequence, payload);
    reading.next = sequence + 1;
    reading.nextMin = reading.next;
    if (qos > 0) unacked.add(sequence);
  }

  #ackSome(): void {
    const [open] = this.#open.splice(this.#stage.below(this.#open.length), 1);
    if (open !== undefined) open[0].ack(open[1]);
  }
}
