/** What those who handle requests see of the connection that a request came from. */
import type { Broker } from "../broker/broker.ts";
import type { Deliveries } from "../broker/deliveries.ts";
import type { LogDelivery } from "../broker/delivery-receiver.ts";
import type { Session } from "../broker/session.ts";
import type { CommitNumber } from "../broker/store.ts";
import type { ErrorCode, ServerFrame } from "./frame.ts";
import type { NativeOptions } from "./native-options.ts";
import type { Subs } from "./subs.ts";
import type { Waits } from "./waits.ts";

/** Fields of an `ok` beside `op` and `id`. */
export type Result = Readonly<Record<string, unknown>>;

export interface Caller {
  readonly broker: Broker;
  readonly options: NativeOptions;
  readonly session: Session;
  readonly subs: Subs;
  readonly waits: Waits;
  /** Whose deliveries this connection may have in hands: they are free again when it ends. */
  readonly holdings: Set<Deliveries>;
  /** False while more output waits than the write budget allows, and when the connection is over. */
  readonly hasRoom: boolean;
  send(frame: ServerFrame): void;
  /** Sends what was handed to a sub of a queue; nothing of it is needed any more when this returns. */
  sendDeliveries(sub: number, deliveries: readonly LogDelivery[]): void;
  /** Answers a request at once; nothing without `id`. */
  reply(id: number | undefined, result: Result): void;
  /** Answers a request once the commit is on disk, behind those that wait already; `then` is called when that is done. */
  answer(id: number | undefined, commit: CommitNumber, result: Result, then?: () => void): void;
  /** Refuses a request at once. */
  refuse(id: number | undefined, code: ErrorCode, text: string): void;
}
