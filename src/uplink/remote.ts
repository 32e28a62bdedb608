/**
 * The port to the far side of an uplink. A driver (`drivers/`) speaks one remote's protocol and decides nothing
 * about order, windows or retries: those belong to the engine.
 *
 * Everything a driver has to say comes through `LinkEvents`, never from inside a call of the engine, and
 * nothing comes any more after `destroy`. So the engine runs under virtual time with a scripted driver.
 */
import type { LogRecord } from "../broker/store.ts";
import type { Clock } from "../lib/clock.ts";
import type { IntervalSet } from "../lib/interval-set.ts";

/**
 * Why something failed, by what is to be done about it:
 * - `transport`: close, back off, connect again, reconcile;
 * - `throttle`: the remote is there and wants less: keep order, shrink the window, wait;
 * - `poison`: the remote never takes this one record: to the dead letters with it, go on;
 * - `lane`: this lane cannot go on (no stream, stream full, no permission): block it, retry slowly;
 * - `local`: our own disk is in the way: block the lane, retry slowly;
 * - `auth`: credentials are refused: blocked, retry slowly;
 * - `config`: what was asked for can never work with this remote: blocked, retry slowly;
 * - `fenced`: somebody else acts under our name: blocked, retry slowly.
 */
export type FailureClass =
  | "transport"
  | "throttle"
  | "poison"
  | "lane"
  | "local"
  | "auth"
  | "config"
  | "fenced";

export interface Failure {
  readonly class: FailureClass;
  /** One line for a person: what, where, with the remote's own code. */
  readonly reason: string;
  /** What the remote asked for, in milliseconds. */
  readonly retryAfterMs?: number;
  /** The remote ended the connection because of one of the records in flight, and did not say which. */
  readonly isAboutRecord?: boolean;
}

/** Where a lane has come in the remote's own numbers. */
export interface RemotePosition {
  /** Which incarnation of the remote's store the numbers belong to. */
  readonly origin: string;
  /** Every record of the lane that is not done lies after this number, if the remote has it at all. */
  readonly position: number;
  /** The highest number that the remote acknowledged to us. */
  readonly highest: number;
}

/** The delivery guarantee in force, as shown to the operator. */
export interface Guarantee {
  readonly kind: "exactly-once" | "at-least-once" | "at-most-once";
  readonly why: string;
}

/** What the remote said it has. */
export interface Reconciliation {
  /** Sequences of this lane found at the remote, by epoch. Empty when the remote cannot say. */
  readonly found: ReadonlyMap<string, IntervalSet>;
  /** Everything not found lies after this; undefined when the remote has no numbers. */
  readonly position: RemotePosition | undefined;
  readonly guarantee: Guarantee;
  /** Something the operator should know, but no reason to stop. */
  readonly warning?: string;
}

export interface LinkCapabilities {
  /** Records in flight that the remote takes over all lanes. */
  readonly windowMax: number;
  /** True: a lane can be reconciled alone while the others go on. */
  readonly reconcilesLanesAlone: boolean;
  /** Where it is connected to, for the log; without credentials. */
  readonly address: string;
}

export interface LinkEvents {
  onConnected(capabilities: LinkCapabilities): void;
  /** Answer to `reconcile`: exactly one of these two. */
  onReconciled(lane: number, result: Reconciliation): void;
  onReconcileFailed(lane: number, failure: Failure): void;
  /** A reconcile that takes long is alive. */
  onReconcileProgress(lane: number): void;
  /** The remote has the record, by its own rules of safe. */
  onAcknowledged(lane: number, sequence: number, position: number | undefined): void;
  /** The remote does not have the record and says why. */
  onRefused(lane: number, sequence: number, failure: Failure): void;
  /** The lane cannot go on, for a reason that belongs to no record. */
  onLaneFailed(lane: number, failure: Failure): void;
  /** The link is gone; nothing comes after this. */
  onClosed(failure: Failure): void;
}

/** One connection to the remote, from the first dial to its end. */
export interface Link {
  /** Asks what the remote has of this lane after `position`. A second call abandons the first. */
  reconcile(lane: number, position: RemotePosition | undefined): void;
  /**
   * Sends one record; returns why it cannot be sent at all, before anything is on the wire. The record's bytes
   * are only read during the call, or copied.
   */
  send(lane: number, record: LogRecord): Failure | undefined;
  /** Drops the connection at once, flushing nothing. No event follows. */
  destroy(): void;
  /** Ends the connection in good order; settles always. No event follows. */
  close(timeoutMs: number): Promise<void>;
}

/** A lane as drivers see it. */
export interface TargetLane {
  /** Its name at the remote. */
  readonly name: string;
  /** Name of the stream; part of the record ids. */
  readonly stream: string;
  /** Template of the topic at the remote; undefined: the driver's own. */
  readonly topic: string | undefined;
  /** Highest QoS at an MQTT remote. */
  readonly maxQos: 0 | 1;
}

/** What a link serves. */
export interface LinkTarget {
  readonly edgeId: string;
  readonly uplink: string;
  /** Events name a lane by its place here. */
  readonly lanes: readonly TargetLane[];
  /** The clock of `receivedAt` and `expiresAt`. */
  readonly clock: Clock;
}

export interface Driver {
  readonly name: string;
  /**
   * Starts to connect; reports through `events` later, with `onConnected` or `onClosed` first.
   * @throws CredentialsError when files with credentials cannot be read
   */
  open(target: LinkTarget, events: LinkEvents): Link;
  /** Changes when the files with credentials do; undefined: there are none. */
  credentialsMark?(): string | undefined;
}
