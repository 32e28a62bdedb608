import type { Content } from "../native/frame.ts";

/** Bytes, or text that goes as UTF-8. */
export type Payload = Uint8Array | string;

/** Content as callers give it. */
export type Sendable<Message extends Content = Content> = Omit<Message, "payload"> & {
  readonly payload?: Payload;
};

const utf8 = new TextEncoder();
const text = new TextDecoder();

/** A message of its own, or only its payload. */
export type MessageInput<Message extends Content = Content> = Payload | Sendable<Message>;

/** The message as frames have it. */
export function contentOf<Message extends Content>(input: MessageInput<Message>): Message {
  if (typeof input === "string") return { payload: utf8.encode(input) } as Message;
  if (input instanceof Uint8Array) return { payload: input } as Message;
  const { payload } = input;
  return (typeof payload === "string"
    ? { ...input, payload: utf8.encode(payload) }
    : input) as unknown as Message;
}

/** About so many bytes a message takes in a frame. */
export function bytesOf({ payload, properties = [], correlation, topic = "" }: Content): number {
  let bytes = 64 + (payload?.length ?? 0) + (correlation?.length ?? 0) + topic.length * 3;
  for (const [name, value] of properties) bytes += 3 * (name.length + value.length);
  return bytes;
}

/** The payload as UTF-8 text; empty where there is none. */
export const textOf = ({ payload }: Pick<Content, "payload">): string =>
  payload === undefined ? "" : text.decode(payload);

/**
 * The payload as JSON.
 * @throws SyntaxError when it is none
 */
export const jsonOf = (message: Pick<Content, "payload">): unknown => JSON.parse(textOf(message));
