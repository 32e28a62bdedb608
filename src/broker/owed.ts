import type { Lease } from "./lease.ts";
import type { Message, QoS } from "./message.ts";
import type { Reference } from "./session-records.ts";
import type { LogId, LogRecord, Ordinal, Sequence } from "./store.ts";

/** References of one commit that a session has not settled yet; one small record on disk. */
export interface ReferenceChunk {
  readonly firstOrdinal: Ordinal;
  readonly owed: readonly Owed[];
  /** What the messages take, about. */
  readonly bytes: number;
  /** The latest receive time of the messages. */
  readonly latestAt: number;
  /** The messages are in the session's spill, or go there with the open group. */
  isSpilled: boolean;
  /** The first that was not handed to the client yet. */
  nextIndex: number;
  unsettled: number;
  /** Its record is to be written anew with the open group. */
  isMarked: boolean;
}

/** A message owed to a session, until the client acknowledges it. */
export interface Owed {
  readonly qos: QoS;
  readonly retain: boolean;
  readonly subscriptionIds: readonly number[] | undefined;
  /** Where it is; 0 until its commit is sealed. Unused when no log holds it. */
  log: LogId;
  sequence: Sequence;
  ordinal: Ordinal;
  /** Its record while the commit's bytes are in memory. */
  record: LogRecord | undefined;
  /** Undefined when no log holds it. */
  chunk: ReferenceChunk | undefined;
  /** How far its QoS 2 delivery came, as it is in the record of references: see SENT. */
  sent: number;
  /** The packet identifier of that delivery; 0: none is assigned. */
  packetId: number;
  /** It is leased: its holder can still give it back. */
  lease: Lease | undefined;
  /** Number of the shared subscription that it stays with its session for (see kept-leases.ts); 0: none. */
  keptFor: number;
  /** To be told when it is settled; for messages that no log holds. */
  readonly onSettled: (() => void) | undefined;
  /** With QoS 2, for retained messages in sessions that last: what they are, as it is on disk (see ReplayOrigin). */
  origin: Uint8Array | undefined;
}

export function owedOf(
  qos: QoS,
  retain: boolean,
  subscriptionIds: readonly number[] | undefined,
  record?: LogRecord,
  onSettled?: () => void,
): Owed {
  return {
    qos,
    retain,
    subscriptionIds,
    log: 0 as LogId,
    sequence: 0 as Sequence,
    ordinal: 0 as Ordinal,
    record,
    chunk: undefined,
    sent: 0,
    packetId: 0,
    lease: undefined,
    keptFor: 0,
    onSettled,
    origin: undefined,
  };
}

export function owedByReference(reference: Reference): Owed {
  const { qos, retain, subscriptionIds, log, sequence, ordinal, sent, packetId } = reference;
  const owed = owedOf(qos, retain, subscriptionIds);
  owed.log = log;
  owed.sequence = sequence;
  owed.ordinal = ordinal;
  owed.sent = sent;
  owed.packetId = packetId;
  return owed;
}

/** What a backlog hands out next: a message that is valid during the call, and what settles it. */
export interface Pending {
  readonly owed: Owed;
  readonly message: Message;
}
