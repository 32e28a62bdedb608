import type { LogRecord } from "../../src/broker/store.ts";
import { IntervalSet } from "../../src/lib/interval-set.ts";
import { recordId } from "../../src/uplink/record-id.ts";
import type {
  Driver,
  Failure,
  Link,
  LinkEvents,
  LinkTarget,
  RemotePosition,
} from "../../src/uplink/remote.ts";
import type { VirtualTimer } from "./virtual-timer.ts";

/** What happens to one record that arrives. */
export interface Fate {
  /** The remote stores it. Default true. */
  readonly isStored?: boolean;
  /** Acknowledge after this many milliseconds; undefined: never. */
  readonly ackAfterMs?: number;
  /** And once more after this many. */
  readonly ackAgainAfterMs?: number;
  readonly refusal?: Failure;
}

export interface Arrival {
  readonly lane: number;
  readonly sequence: number;
  readonly id: string;
  readonly atMs: number;
}

/**
 * A remote under virtual time that stores what arrives in one numbered list, knows the ids it has, and can be asked for
 * them. The test decides what happens to each record and whether it can be reached.
 */
export class ScriptedRemote implements Driver {
  readonly name = "scripted";
  /** Every record that was sent over a live link. */
  readonly arrivals: Arrival[] = [];
  /** Ids in the order they were stored; twice here is a duplicate. */
  readonly stored: string[] = [];
  origin = "remote@1";
  windowMax = 1_000_000;
  reconcilesLanesAlone = true;
  /** False: it forgets ids, as MQTT does. */
  remembers = true;
  connectDelayMs = 1;
  reconcileDelayMs = 1;
  links = 0;
  reconciles = 0;
  /** Why dialling fails; undefined: it works. "silent": nothing comes at all. */
  dial: Failure | "silent" | undefined;
  fate: (arrival: Arrival) => Fate = () => ({ ackAfterMs: 5 });
  reconcileFate: (lane: number) => Failure | "silent" | undefined = () => undefined;
  target: LinkTarget | undefined;
  /** The events of the live link. */
  events: LinkEvents | undefined;
  readonly #timer: VirtualTimer;
  #number = 0;

  constructor(timer: VirtualTimer) {
    this.#timer = timer;
  }

  open(target: LinkTarget, events: LinkEvents): Link {
    const number = ++this.#number;
    this.links++;
    this.target = target;
    this.events = events;
    const later = (ms: number, act: () => void): void => {
      this.#timer.schedule(ms, () => {
        if (number === this.#number) act();
      });
    };
    const { dial } = this;
    if (dial === undefined) {
      later(this.connectDelayMs, () =>
        events.onConnected({
          windowMax: this.windowMax,
          reconcilesLanesAlone: this.reconcilesLanesAlone,
          address: "scripted",
        }),
      );
    } else if (dial !== "silent") later(this.connectDelayMs, () => events.onClosed(dial));
    return {
      reconcile: (lane, position) => {
        this.reconciles++;
        later(this.reconcileDelayMs, () => this.#answer(lane, position, events));
      },
      send: (lane, record) => this.#take(lane, record, later, events),
      destroy: () => {
        this.#number++;
        this.events = undefined;
      },
      close: () => {
        this.#number++;
        this.events = undefined;
        return Promise.resolve();
      },
    };
  }

  /** Breaks the live link. */
  cut(failure: Failure = { class: "transport", reason: "cut" }): void {
    const { events } = this;
    this.#number++;
    this.events = undefined;
    events?.onClosed(failure);
  }

  #take(
    lane: number,
    record: LogRecord,
    later: (ms: number, act: () => void) => void,
    events: LinkEvents,
  ): undefined {
    const stream = this.target?.lanes[lane]?.stream ?? "";
    const id = recordId(this.target?.edgeId ?? "", record.epoch, stream, record.sequence);
    const { sequence } = record;
    const arrival = { lane, sequence, id, atMs: this.#timer.nowMs() };
    this.arrivals.push(arrival);
    const fate = this.fate(arrival);
    const { refusal } = fate;
    if (refusal !== undefined) {
      later(1, () => events.onRefused(lane, sequence, refusal));
      return undefined;
    }
    let position: number | undefined;
    if (fate.isStored !== false) position = this.stored.push(id);
    const ack = (): void =>
      events.onAcknowledged(lane, sequence, this.remembers ? position : undefined);
    if (fate.ackAfterMs !== undefined) later(fate.ackAfterMs, ack);
    if (fate.ackAgainAfterMs !== undefined) later(fate.ackAgainAfterMs, ack);
    return undefined;
  }

  #answer(lane: number, kept: RemotePosition | undefined, events: LinkEvents): void {
    const fate = this.reconcileFate(lane);
    if (fate === "silent") return;
    if (fate !== undefined) {
      events.onReconcileFailed(lane, fate);
      return;
    }
    const found = new Map<string, IntervalSet>();
    const position = { origin: this.origin, position: 0, highest: 0 };
    if (this.remembers) {
      for (const id of this.stored.slice(kept?.position ?? 0)) noteId(found, id, this.target, lane);
      position.position = this.stored.push(`barrier-${this.reconciles}`);
      position.highest = position.position;
    }
    events.onReconciled(lane, {
      found,
      position: this.remembers ? position : undefined,
      guarantee: this.remembers
        ? { kind: "exactly-once", why: "it remembers" }
        : { kind: "at-least-once", why: "it forgets" },
    });
  }
}

function noteId(
  found: Map<string, IntervalSet>,
  id: string,
  target: LinkTarget | undefined,
  lane: number,
): void {
  const [, epoch, stream, sequence] = id.split("/");
  if (epoch === undefined || stream !== target?.lanes[lane]?.stream) return;
  const sequences = found.get(epoch) ?? new IntervalSet();
  sequences.add(Number(sequence));
  found.set(epoch, sequences);
}
