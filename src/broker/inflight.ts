/**
 * What was sent to a client and is not yet settled, by packet identifier, in the order of sending.
 *
 *     staged ----(its record is flushed)---> published ----PUBREC----> released ----PUBCOMP----> (gone)
 *       QoS 2 of durable sessions only           |                      QoS 2 only
 *                                                `--PUBACK, PUBREC >= 0x80--> (gone)
 */
import { LazyMap } from "../lib/lazy-map.ts";
import type { Message } from "./message.ts";
import type { Owed } from "./owed.ts";
import { type CommitNumber, NO_COMMIT } from "./store.ts";

export interface InflightEntry {
  readonly packetId: number;
  readonly owed: Owed;
  state: "staged" | "published" | "released";
  /** The flush that the present state waits for before its packet may be sent. */
  commit: CommitNumber;
  /** Sent on the present connection, so it counts against the client's Receive Maximum. */
  isOutstanding: boolean;
  /** Sent on some connection before: the next sending carries DUP [MQTT-3.3.1-1]. */
  wasSent: boolean;
  /** Kept for messages that no log holds (replayed retained messages). */
  readonly message: Message | undefined;
}

const PACKET_IDS = 65_535;

export class Inflight {
  readonly #entries = new LazyMap<number, InflightEntry>();
  /** Packet identifiers that an earlier run gave out and that are not entered yet. */
  #reserved: Set<number> | undefined;
  #lastPacketId = 0;
  #outstanding = 0;

  get size(): number {
    return this.#entries.size;
  }

  /** How many of them were sent on the present connection. */
  get outstanding(): number {
    return this.#outstanding;
  }

  get hasFreePacketId(): boolean {
    return this.#entries.size + (this.#reserved?.size ?? 0) < PACKET_IDS;
  }

  get(packetId: number): InflightEntry | undefined {
    return this.#entries.get(packetId);
  }

  /** In the order of sending, but for those that are staged. */
  entries(): Iterable<InflightEntry> {
    return this.#entries.values();
  }

  reserve(packetId: number): void {
    this.#reserved ??= new Set();
    this.#reserved.add(packetId);
  }

  /** A packet identifier that is not in use [MQTT-2.2.1-3]; 0 when all are. */
  allocate(): number {
    if (!this.hasFreePacketId) return 0;
    do {
      this.#lastPacketId = (this.#lastPacketId % PACKET_IDS) + 1;
    } while (this.#isTaken(this.#lastPacketId));
    return this.#lastPacketId;
  }

  #isTaken(packetId: number): boolean {
    return this.#entries.has(packetId) || this.#reserved?.has(packetId) === true;
  }

  add(
    packetId: number,
    owed: Owed,
    state: InflightEntry["state"],
    message: Message | undefined,
  ): InflightEntry {
    const entry: InflightEntry = {
      packetId,
      owed,
      state,
      commit: NO_COMMIT,
      isOutstanding: false,
      wasSent: false,
      message,
    };
    this.#reserved?.delete(packetId);
    this.#entries.set(packetId, entry);
    return entry;
  }

  /** It is sent for the first time, behind all that were sent before it [MQTT-4.6.0-1]. */
  moveLast(entry: InflightEntry): void {
    this.#entries.delete(entry.packetId);
    this.#entries.set(entry.packetId, entry);
  }

  markOutstanding(entry: InflightEntry): void {
    if (entry.isOutstanding) return;
    entry.isOutstanding = true;
    this.#outstanding++;
  }

  /** A new connection: nothing was sent on it. */
  forgetOutstanding(): void {
    for (const entry of this.#entries.values()) entry.isOutstanding = false;
    this.#outstanding = 0;
  }

  remove(entry: InflightEntry): void {
    this.#entries.delete(entry.packetId);
    if (entry.isOutstanding) this.#outstanding--;
  }
}
