/** Who handles which op of an accepted client. */
import type { Caller } from "./caller.ts";
import type { DropNotices } from "./drop-notices.ts";
import { publish, subscribe } from "./events.ts";
import type { ClientFrame, ClientOp } from "./frame.ts";
import {
  ackAll,
  createQueue,
  deleteQueue,
  listQueues,
  purgeQueue,
  queueInfo,
  updateQueue,
} from "./queue-admin.ts";
import { peek, receive, send, settle, subscribeToQueue } from "./queue-messages.ts";
import { type Handled, HOLD, Refusal } from "./refusal.ts";
import {
  answerRequest,
  ask,
  type NativeRequester,
  respond,
  type UnansweredRequests,
} from "./request-messages.ts";
import { route } from "./route.ts";
import {
  consumerInfo,
  createStream,
  deleteConsumer,
  deleteStream,
  listConsumers,
  listStreams,
  purgeStream,
  streamInfo,
  updateStream,
} from "./stream-admin.ts";
import { append, consume, read, settleRecords } from "./stream-messages.ts";

/** What a handler works with. */
export interface Desk extends Caller {
  readonly notices: DropNotices;
  readonly requester: NativeRequester;
  readonly unanswered: UnansweredRequests;
}

type FrameOf<Op extends ClientOp> = ClientFrame extends infer Frame
  ? Frame extends { readonly op: infer Ops }
    ? Op extends Ops
      ? Frame
      : never
    : never
  : never;
/** Does what a frame asks for, and sees to its answer; HOLD: it is to be called again. */
type Handler<Frame> = (desk: Desk, frame: Frame) => unknown;
type Handlers = { readonly [Op in ClientOp]?: Handler<FrameOf<Op>> };

const HANDLERS: Handlers = {
  ping: (desk, { id }) => desk.send({ op: "pong", id }),
  pong: () => undefined,
  publish: (desk, frame) => publish(desk, frame as typeof frame & { readonly topic: string }),
  subscribe: (desk, frame) => subscribe(desk, desk.notices, frame),
  unsubscribe(desk, { id, sub }) {
    if (!desk.subs.remove(sub)) throw new Refusal("not-found", "there is no such sub");
    desk.reply(id, {});
  },
  credit: (desk, { sub, add }) => desk.subs.addCredit(sub, add),
  "stream.create": createStream,
  "stream.update": updateStream,
  "stream.delete": deleteStream,
  "stream.info": streamInfo,
  "stream.purge": purgeStream,
  "stream.list": listStreams,
  append,
  read,
  consume,
  ack: settleRecords,
  reject: settleRecords,
  "consumer.delete": deleteConsumer,
  "consumer.info": consumerInfo,
  "consumer.list": listConsumers,
  "queue.create": createQueue,
  "queue.update": updateQueue,
  "queue.delete": deleteQueue,
  "queue.info": queueInfo,
  "queue.purge": purgeQueue,
  "queue.ackAll": ackAll,
  "queue.list": listQueues,
  send,
  receive,
  "queue.subscribe": subscribeToQueue,
  settle,
  peek,
  request: (desk, frame) => ask(desk, desk.requester, frame),
  respond: (desk, frame) => respond(desk, desk.unanswered, frame),
  route,
  reply: (desk, frame) => answerRequest(desk, desk.unanswered, frame),
};

/**
 * Hands a frame to who handles it.
 * @throws Refusal
 */
export function handle(desk: Desk, frame: ClientFrame): Handled {
  const handler = HANDLERS[frame.op] as Handler<ClientFrame> | undefined;
  if (handler === undefined) throw new Refusal("unknown-op", "this is not offered");
  return handler(desk, frame) === HOLD ? HOLD : undefined;
}
