/** Who handles which op of an accepted client. */
import type { Caller } from "./caller.ts";
import type { DropNotices } from "./drop-notices.ts";
import { publish, subscribe } from "./events.ts";
import type { ClientFrame, ClientOp } from "./frame.ts";
import { peek, receive, send, settle, subscribeToQueue } from "./queue-messages.ts";
import { type Handled, HOLD, Refusal } from "./refusal.ts";

/** What a handler works with. */
export interface Desk extends Caller {
  readonly notices: DropNotices;
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
  send,
  receive,
  "queue.subscribe": subscribeToQueue,
  settle,
  peek,
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
