/**
 * What a JetStream stream has of one lane. The server's word on single records is not enough after a leader
 * change, so the stream itself is read:
 *
 * 1. the stream that takes the lane's subjects is found;
 * 2. a barrier is published, again until it is acknowledged: whatever is in the stream of what was sent before, is
 *    in it before the barrier;
 * 3. an ordered consumer reads the headers of the lane's subjects from the kept position on, until the barrier itself
 *    is read. A replica that lags only makes this take longer. (Never direct get: that may skip what it lacks.)
 *
 * What was read is at the remote; what was not read is not.
 */
import { performance } from "node:perf_hooks";
import type {
  ConsumerMessages,
  JetStreamClient,
  JetStreamManager,
  StreamInfo,
} from "@nats-io/jetstream";
import { DeliverPolicy, JetStreamApiError, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { headers, type NatsConnection, nuid } from "@nats-io/transport-node";
import { IntervalSet } from "../../lib/interval-set.ts";
import { decodeRecordId } from "../record-id.ts";
import type { Failure, Guarantee, Reconciliation, RemotePosition } from "../remote.ts";
import { failureOf } from "./nats-ack.ts";
import { BARRIER_HEADER, MESSAGE_ID_HEADER } from "./nats-headers.ts";
import { barrierSubject, lanePrefix } from "./nats-subject.ts";

/** Milliseconds between tries while the stream has no leader. */
const RETRY_MS = 250;
/** Messages between two signs of life to the engine. */
const PROGRESS_EVERY = 500;
/** Milliseconds without a message after which the scan starts anew. */
const SCAN_STALL_MS = 5_000;
/** After this the server forgets a scan's consumer that we could not delete. */
const CONSUMER_INACTIVE_MS = 30_000;
/** Milliseconds of trouble after which the reconcile is given up, with its reason. */
const TROUBLE_MS_MAX = 20_000;
/** Other epochs noted at most; more than that is not our edge any more. */
const EPOCHS_MAX = 4_096;

/** Thrown when the lane cannot be reconciled. */
export class ReconcileError extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.reason);
    this.failure = failure;
  }
}

export interface NatsReconcileJob {
  readonly connection: NatsConnection;
  readonly edgeId: string;
  /** The lane's name, which is in its subjects. */
  readonly lane: string;
  /** The stream's name, which is in the record ids. */
  readonly stream: string;
  readonly position: RemotePosition | undefined;
  readonly requestTimeoutMs: number;
  readonly jetStreamDomain: string | undefined;
  /** True once the answer is not wanted any more. */
  isAbandoned(): boolean;
  /** A sign of life. */
  onProgress(): void;
}

export interface NatsReconciled extends Reconciliation {
  /** Name of the JetStream stream that takes the lane's subjects. */
  readonly remoteStream: string;
}

interface Barrier {
  readonly id: string;
  readonly position: number;
}

/** Runs the job; undefined when it was abandoned. Throws `ReconcileError`. */
export async function reconcileLane(job: NatsReconcileJob): Promise<NatsReconciled | undefined> {
  const options = {
    timeout: job.requestTimeoutMs,
    ...(job.jetStreamDomain === undefined ? {} : { domain: job.jetStreamDomain }),
  };
  const manager = await jetstreamManager(job.connection, { ...options, checkAPI: false });
  const client = jetstream(job.connection, options);
  const info = await retried(job, () => findStream(manager, job));
  if (info === undefined) return undefined;
  const origin = `${info.config.name}@${info.created}`;
  checkOrigin(job.position, origin, info.config.name);
  const barrier = await retried(job, () => publishBarrier(client, job));
  if (barrier === undefined) return undefined;
  const kept = job.position;
  if (kept !== undefined && barrier.position <= kept.highest) {
    throw new ReconcileError({
      class: "lane",
      reason: `stream ${info.config.name} ends at ${barrier.position}, but acknowledged ${kept.highest} before: it was restored from an older copy; an operator must decide what to send again`,
    });
  }
  const from = (kept?.position ?? 0) + 1;
  // What consumers or limits take away at once cannot be read again: there is nothing to scan.
  const scan =
    info.config.retention === "limits"
      ? await retried(job, () => scanUntil(client, info, job, from, barrier))
      : new Map<string, IntervalSet>();
  if (scan === undefined) return undefined;
  const firstKept = info.state.first_seq;
  const isForgetful = kept !== undefined && firstKept > from;
  return {
    remoteStream: info.config.name,
    found: scan,
    position: { origin, position: barrier.position, highest: barrier.position },
    guarantee: guaranteeOf(info),
    ...(isForgetful
      ? {
          warning: `stream ${info.config.name} begins at ${firstKept}, after ${from}: what it has dropped of that is sent again unless it was acknowledged`,
        }
      : {}),
  };
}

/** Repeats what failed for a moment (no leader, time-outs) until it works or nobody wants it any more. */
async function retried<T>(
  job: NatsReconcileJob,
  act: () => Promise<T | undefined>,
): Promise<T | undefined> {
  const startedMs = performance.now();
  while (!job.isAbandoned()) {
    try {
      return await act();
    } catch (error) {
      if (job.isAbandoned()) return undefined;
      if (error instanceof ReconcileError) throw error;
      if (error instanceof JetStreamApiError) {
        const failure = failureOf({
          code: error.status,
          err_code: error.code,
          description: error.message,
        });
        if (failure.class === "lane") throw new ReconcileError(failure);
      }
      if (performance.now() - startedMs > TROUBLE_MS_MAX) {
        throw new ReconcileError({ class: "transport", reason: String(error) });
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
  return undefined;
}

async function findStream(manager: JetStreamManager, job: NatsReconcileJob): Promise<StreamInfo> {
  const subject = `${lanePrefix(job.edgeId, job.lane)}.>`;
  const names: string[] = [];
  for await (const name of manager.streams.names(subject)) names.push(name);
  const [name] = names;
  if (name === undefined) {
    throw new ReconcileError({
      class: "lane",
      reason: `no stream takes the subjects ${subject}: create one at the centre`,
    });
  }
  if (names.length > 1) {
    throw new ReconcileError({
      class: "config",
      reason: `several streams take parts of ${subject}: ${names.join(", ")}`,
    });
  }
  const info = await manager.streams.info(name);
  job.onProgress();
  if (info.config.no_ack === true) {
    throw new ReconcileError({
      class: "config",
      reason: `stream ${name} does not acknowledge (no_ack)`,
    });
  }
  return info;
}

function checkOrigin(kept: RemotePosition | undefined, origin: string, name: string): void {
  if (kept === undefined || kept.origin === origin) return;
  throw new ReconcileError({
    class: "lane",
    reason: `stream ${name} is not the one that acknowledged before (${kept.origin}, now ${origin}): it was purged or made anew; an operator must decide what to send again`,
  });
}

async function publishBarrier(client: JetStreamClient, job: NatsReconcileJob): Promise<Barrier> {
  const subject = barrierSubject(lanePrefix(job.edgeId, job.lane));
  // A new id each time: a barrier that is dropped as a duplicate would be none.
  const id = nuid.next();
  const marked = headers();
  marked.set(BARRIER_HEADER, id);
  const ack = await client.publish(subject, new Uint8Array(0), {
    headers: marked,
    timeout: job.requestTimeoutMs,
  });
  job.onProgress();
  if (!(ack.seq > 0)) throw new Error("the barrier has no sequence");
  return { id, position: ack.seq };
}

/** Reads the lane's headers from `from` up to the barrier. */
async function scanUntil(
  client: JetStreamClient,
  info: StreamInfo,
  job: NatsReconcileJob,
  from: number,
  barrier: Barrier,
): Promise<Map<string, IntervalSet> | undefined> {
  const consumer = await client.consumers.get(info.config.name, {
    filter_subjects: `${lanePrefix(job.edgeId, job.lane)}.>`,
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: from,
    headers_only: true,
    inactive_threshold: CONSUMER_INACTIVE_MS,
  });
  const messages = await consumer.consume({ max_messages: 1_000 });
  const found = new Map<string, IntervalSet>();
  let stall = armStall(messages);
  try {
    let read = 0;
    for await (const message of messages) {
      clearTimeout(stall);
      if (job.isAbandoned()) return undefined;
      stall = armStall(messages);
      if (read++ % PROGRESS_EVERY === 0) job.onProgress();
      if (message.seq > barrier.position) break;
      if (message.headers?.get(BARRIER_HEADER) === barrier.id) {
        checkBarrierSubject(message.subject, job);
        return found;
      }
      noteFound(found, message.headers?.get(MESSAGE_ID_HEADER) ?? "", job);
    }
  } finally {
    clearTimeout(stall);
    messages.stop();
    // The consumer would vanish by itself; it is only tidier now.
    consumer.delete().catch(() => undefined);
  }
  throw new Error("the scan ended before the barrier");
}

function armStall(messages: ConsumerMessages): NodeJS.Timeout {
  return setTimeout(() => messages.stop(), SCAN_STALL_MS);
}

function checkBarrierSubject(subject: string, job: NatsReconcileJob): void {
  if (subject === barrierSubject(lanePrefix(job.edgeId, job.lane))) return;
  throw new ReconcileError({
    class: "config",
    reason: `the stream renames subjects (the barrier came back on ${subject})`,
  });
}

function noteFound(found: Map<string, IntervalSet>, id: string, job: NatsReconcileJob): void {
  const decoded = decodeRecordId(id, job.edgeId, job.stream);
  if (decoded === undefined) return;
  let sequences = found.get(decoded.epoch);
  if (sequences === undefined) {
    if (found.size >= EPOCHS_MAX) {
      throw new ReconcileError({ class: "fenced", reason: "too many epochs under our name" });
    }
    sequences = new IntervalSet();
    found.set(decoded.epoch, sequences);
  }
  sequences.add(decoded.sequence);
}

/** Exactly once needs that what was stored is still to be read: limits retention without a limit per subject. */
function guaranteeOf(info: StreamInfo): Guarantee {
  const { retention, max_msgs_per_subject: perSubject } = info.config;
  if (retention !== "limits") {
    return {
      kind: "at-least-once",
      why: `stream retention is ${retention}: what consumers took cannot be found again`,
    };
  }
  if (perSubject !== undefined && perSubject > 0) {
    return {
      kind: "at-least-once",
      why: `the stream keeps ${perSubject} per subject: older records cannot be found again`,
    };
  }
  return {
    kind: "exactly-once",
    why: "record ids, and the stream is read before anything is sent again",
  };
}
