import type {
  AppendMessage,
  ConsumeFrame,
  ServerFrame,
  Start,
  StreamRecord,
  StreamSettingsFrame,
} from "../native/frame.ts";
import type { Result } from "./calls.ts";
import type { ClientCore } from "./client-core.ts";
import type { CallOptions } from "./client-options.ts";
import type { Connection } from "./connection.ts";
import { bytesOf, contentOf, type MessageInput } from "./content.ts";
import { RillError } from "./rill-error.ts";
import { Subscription, type SubscriptionOptions } from "./subscription.ts";

/** How a stream is made or changed; durations in milliseconds. */
export type StreamSettings = Omit<StreamSettingsFrame, "op" | "id" | "stream">;

/** Both ends included. */
export type LostRange = readonly [from: number, to: number];

export interface AppendOptions extends CallOptions {
  /** The sequence that the first message must get. */
  readonly expectedSequence?: number;
}

export interface ReadOptions extends CallOptions {
  /** Default: the first record there is. */
  readonly from?: Start;
  readonly max?: number;
  readonly maxBytes?: number;
  readonly filter?: string;
}

export interface ConsumeOptions
  extends SubscriptionOptions,
    Omit<ConsumeFrame, "op" | "id" | "stream" | "credit"> {
  /** Records that the stream gave up before they were read. Must not throw. */
  readonly onLost?: (ranges: readonly LostRange[]) => void;
}

/** A record that came; `ack` and `reject` are for durable consumers. */
export interface ConsumedRecord extends StreamRecord {
  /** Resolves when that is on disk. @throws RillError `expired-delivery`, `connection-lost`: it may come again */
  ack(options?: CallOptions): Promise<void>;
  /** Gives it back: it comes again, not before `delayMs`. @throws RillError as for `ack` */
  reject(options?: CallOptions & { readonly delayMs?: number }): Promise<void>;
}

/** Streams: stored in order, read by cursor. */
export class Streams {
  readonly #core: ClientCore;

  constructor(core: ClientCore) {
    this.#core = core;
  }

  /** @throws RillError `exists` */
  async create(
    stream: string,
    settings: StreamSettings = {},
    options?: CallOptions,
  ): Promise<Result> {
    return this.#core.ask({ ...settings, op: "stream.create", stream }, options);
  }

  async update(stream: string, settings: StreamSettings, options?: CallOptions): Promise<Result> {
    const frame = { ...settings, op: "stream.update", stream };
    return this.#core.ask(frame, { ...options, life: "repeatable" });
  }

  async delete(stream: string, options?: CallOptions): Promise<void> {
    await this.#core.ask({ op: "stream.delete", stream }, options);
  }

  /** What the broker tells of a stream, see the protocol. */
  info(stream: string, options?: CallOptions): Promise<Result> {
    return this.#core.ask({ op: "stream.info", stream }, { ...options, life: "repeatable" });
  }

  /** A page of streams by name, `after` one of them. */
  list(
    options: CallOptions & { readonly after?: string; readonly max?: number } = {},
  ): Promise<Result> {
    return this.#core.ask(
      { op: "stream.list", ...page(options) },
      { ...options, life: "repeatable" },
    );
  }

  /** Removes what is before a sequence, or all. */
  async purge(stream: string, before?: number, options?: CallOptions): Promise<Result> {
    const frame = { op: "stream.purge", stream, ...(before === undefined ? {} : { before }) };
    return this.#core.ask(frame, options);
  }

  /**
   * Resolves when it is on disk, with its sequence. Sent once more after a lost connection; it is appended once.
   * @throws RillError `wrong-sequence` with `nextSequence`
   */
  async append(
    stream: string,
    message: MessageInput<AppendMessage>,
    options?: AppendOptions,
  ): Promise<number> {
    const [sequence = 0] = await this.appendAll(stream, [message], options);
    return sequence;
  }

  /** All of them or none. @throws RillError as for `append` */
  async appendAll(
    stream: string,
    messages: readonly MessageInput<AppendMessage>[],
    { expectedSequence, ...options }: AppendOptions = {},
  ): Promise<readonly number[]> {
    const contents = messages.map((message) => withId(this.#core, contentOf(message)));
    const expected = expectedSequence === undefined ? {} : { expectedSequence };
    const { sequences } = await this.#core.ask(
      { op: "append", stream, messages: contents, ...expected },
      { ...options, bytes: totalBytes(contents), life: "repeatable" },
    );
    return sequences as readonly number[];
  }

  /** Records that are on disk, and where to go on. */
  async read(
    stream: string,
    { from = { at: "first" }, max, maxBytes, filter, ...options }: ReadOptions = {},
  ): Promise<{
    readonly records: readonly StreamRecord[];
    readonly next: number;
    readonly lost: readonly LostRange[];
  }> {
    const frame = {
      op: "read",
      stream,
      from,
      ...(max === undefined ? {} : { max }),
      ...(maxBytes === undefined ? {} : { maxBytes }),
      ...(filter === undefined ? {} : { filter }),
    };
    const result = await this.#core.ask(frame, { ...options, life: "repeatable" });
    return {
      records: result["records"] as readonly StreamRecord[],
      next: result["next"] as number,
      lost: (result["lost"] ?? []) as readonly LostRange[],
    };
  }

  /**
   * Records as they come. With `consumer` the broker remembers what is acknowledged and brings the rest again; without, the
   * subscription itself goes on where it was after a lost connection. @throws RillError
   */
  async consume(
    stream: string,
    options: ConsumeOptions = {},
  ): Promise<Subscription<ConsumedRecord>> {
    const { signal, window, onResumed, onLost, from = { at: "new" }, ...rest } = options;
    const core = this.#core;
    const isDurable = options.consumer !== undefined;
    let start: Start = isDurable ? from : await this.#pinned(stream, from, signal);
    return Subscription.open<ConsumedRecord>(
      core,
      {
        isReturnedOnLoss: isDurable,
        open: () => ({ ...rest, op: "consume", stream, from: start }),
        items(frame: ServerFrame, sub: number) {
          if (frame.op !== "records") return [];
          if (frame.lost !== undefined) onLost?.(frame.lost);
          const last = frame.records.at(-1)?.sequence ?? frame.lost?.at(-1)?.[1];
          if (!isDurable && last !== undefined) start = { sequence: last + 1 };
          const { connection } = core;
          return frame.records.map((record) => consumedRecord(core, record, sub, connection));
        },
      },
      { signal, window, onResumed },
    );
  }

  consumerInfo(stream: string, consumer: string, options?: CallOptions): Promise<Result> {
    const frame = { op: "consumer.info", stream, consumer };
    return this.#core.ask(frame, { ...options, life: "repeatable" });
  }

  consumers(stream: string, options?: CallOptions): Promise<Result> {
    return this.#core.ask({ op: "consumer.list", stream }, { ...options, life: "repeatable" });
  }

  async deleteConsumer(stream: string, consumer: string, options?: CallOptions): Promise<void> {
    await this.#core.ask({ op: "consumer.delete", stream, consumer }, options);
  }

  /** A beginning that stays the same when it is asked for later. */
  async #pinned(stream: string, from: Start, signal: AbortSignal | undefined): Promise<Start> {
    if ("sequence" in from || ("at" in from && from.at === "first")) return from;
    const { records, next } = await this.read(stream, {
      from,
      max: 1,
      ...(signal ? { signal } : {}),
    });
    return { sequence: records[0]?.sequence ?? next };
  }
}

function consumedRecord(
  core: ClientCore,
  record: StreamRecord,
  sub: number,
  connection: Connection | undefined,
): ConsumedRecord {
  const settle = async (frame: object, options: CallOptions = {}): Promise<void> => {
    if (core.connection !== connection) throw expired();
    await core.ask(
      { ...frame, sub, sequences: [record.sequence] },
      { signal: options.signal, timeoutMs: options.timeoutMs, isLast: true, life: "connection" },
    );
  };
  return {
    ...record,
    ack: (options) => settle({ op: "ack" }, options),
    reject: (options) =>
      settle(
        { op: "reject", ...(options?.delayMs === undefined ? {} : { delayMs: options.delayMs }) },
        options,
      ),
  };
}

/** Of what came on a connection that is gone: the broker has given it back. */
export const expired = (): RillError =>
  new RillError("expired-delivery", "the connection it came on is gone, and it comes again");

/** The message with an id, so that sending it twice adds it once. */
export const withId = <Message extends AppendMessage>(
  core: ClientCore,
  message: Message,
): Message =>
  message.messageId === undefined ? { ...message, messageId: core.nextMessageId() } : message;

/** About so many bytes. */
export const totalBytes = (messages: readonly AppendMessage[]): number =>
  messages.reduce((bytes, message) => bytes + bytesOf(message), 0);

/** The fields of a list's request. */
export const page = ({
  after,
  max,
}: {
  readonly after?: string | undefined;
  readonly max?: number | undefined;
}): object => ({
  ...(after === undefined ? {} : { after }),
  ...(max === undefined ? {} : { max }),
});
