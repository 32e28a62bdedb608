/**
 * The frames of the native protocol `rill.v1` as typed values; `docs/native-protocol.md` specifies them. A request of the client
 * carries `id` and gets exactly one `ok` or `error` with it. Durations end in `Ms`, points in time (milliseconds since 1970) in `At`.
 */

/** What travels in every pattern. */
export interface Content {
  /** Events and requests: where to. Streams: the record's topic. Queues: a label. */
  readonly topic?: string;
  /** Absent: empty. */
  readonly payload?: Uint8Array;
  readonly contentType?: string;
  /** Name and value, in order; names may repeat. */
  readonly properties?: readonly (readonly [string, string])[];
  readonly responseTopic?: string;
  readonly correlation?: Uint8Array;
  /** From now; absent: never. */
  readonly expiryMs?: number;
}

/** Where reading a stream begins. */
export type Start =
  | { readonly at: "first" | "last" | "new" }
  | { readonly sequence: number }
  | { readonly timeAt: number }
  | { readonly agoMs: number };

/** One message of an `append`. */
export interface AppendMessage extends Content {
  /** The same within the stream's window: not appended again. */
  readonly messageId?: string;
}

/** One message of a `send`. */
export interface SendMessage extends AppendMessage {
  readonly delayMs?: number;
  /** After so many deliveries without ack it goes to the dead letter queue. */
  readonly deliveriesMax?: number;
  readonly deadLetterQueue?: string;
}

/** A connection introduces itself; the first frame. */
export interface HelloFrame {
  readonly op: "hello";
  readonly id: number;
  /** Versions the client speaks. */
  readonly versions: readonly number[];
  readonly clientId?: string;
  readonly user?: string;
  readonly password?: string;
  /** Name and version of its program, for people. */
  readonly client?: string;
}

export interface PingFrame {
  readonly op: "ping";
  readonly id: number;
}

export interface PongFrame {
  readonly op: "pong";
}

/** An event. With `id` it is answered once it is on disk for all who are owed it there. */
export interface PublishFrame extends Content {
  readonly op: "publish";
  readonly id?: number;
  readonly retain?: boolean;
}

export interface SubscribeFrame {
  readonly op: "subscribe";
  readonly id: number;
  readonly filter: string;
  /** One member of each group gets each event. */
  readonly group?: string;
  readonly credit: number;
  /** Sends what is retained first; not with `group`. */
  readonly retained?: boolean;
  readonly noLocal?: boolean;
}

/** Ends a sub of any kind. */
export interface UnsubscribeFrame {
  readonly op: "unsubscribe";
  readonly id: number;
  readonly sub: number;
}

/** So many more may be delivered to a sub of any kind. Not answered. */
export interface CreditFrame {
  readonly op: "credit";
  readonly sub: number;
  readonly add: number;
}

export interface StreamSettingsFrame {
  readonly op: "stream.create" | "stream.update";
  readonly id: number;
  readonly stream: string;
  readonly filters?: readonly string[];
  readonly maxBytes?: number;
  readonly maxMessages?: number;
  readonly maxAgeMs?: number;
  readonly whenFull?: "reject" | "drop-oldest";
  readonly retain?: "limits" | "until-delivered";
  readonly duplicateWindowMs?: number;
}

export interface StreamFrame {
  readonly op: "stream.delete" | "stream.info" | "consumer.list";
  readonly id: number;
  readonly stream: string;
}

export interface StreamPurgeFrame {
  readonly op: "stream.purge";
  readonly id: number;
  readonly stream: string;
  /** The first sequence that stays; absent: none does. */
  readonly before?: number;
}

export interface ListFrame {
  readonly op: "stream.list" | "queue.list";
  readonly id: number;
  /** Names behind this one. */
  readonly after?: string;
  readonly max?: number;
}

export interface AppendFrame {
  readonly op: "append";
  readonly id: number;
  readonly stream: string;
  /** All of them or none. */
  readonly messages: readonly AppendMessage[];
  /** Sequence that the first must get. */
  readonly expectedSequence?: number;
}

export interface ReadFrame {
  readonly op: "read";
  readonly id: number;
  readonly stream: string;
  readonly from: Start;
  readonly max?: number;
  readonly maxBytes?: number;
  readonly filter?: string;
}

export interface ConsumeFrame {
  readonly op: "consume";
  readonly id: number;
  readonly stream: string;
  /** Name of a durable consumer; absent: one that ends with the sub and acknowledges nothing. */
  readonly consumer?: string;
  /** Where a new consumer begins; a known one goes on where it was. */
  readonly from?: Start;
  readonly filter?: string;
  readonly credit: number;
  /** Several connections share the consumer; otherwise the latest has it. */
  readonly isGroup?: boolean;
  readonly ackWaitMs?: number;
  readonly unackedMax?: number;
  readonly deliveriesMax?: number;
  readonly deadLetterStream?: string;
}

/** Settles records of a durable consumer; with `id` answered once it is on disk. */
export interface SettleRecordsFrame {
  readonly op: "ack" | "reject";
  readonly id?: number;
  readonly sub: number;
  readonly sequences?: readonly number[];
  /** All that were delivered up to this one. */
  readonly upTo?: number;
  /** Of reject: not again before. */
  readonly delayMs?: number;
}

export interface ConsumerFrame {
  readonly op: "consumer.delete" | "consumer.info";
  readonly id: number;
  readonly stream: string;
  readonly consumer: string;
}

export interface QueueSettingsFrame {
  readonly op: "queue.create" | "queue.update";
  readonly id: number;
  readonly queue: string;
  readonly filters?: readonly string[];
  readonly maxBytes?: number;
  readonly maxMessages?: number;
  readonly deliveriesMax?: number;
  readonly deadLetterQueue?: string;
  readonly visibilityMs?: number;
  readonly expiryMs?: number;
  readonly duplicateWindowMs?: number;
}

export interface QueueFrame {
  readonly op: "queue.delete" | "queue.info" | "queue.purge" | "queue.ackAll";
  readonly id: number;
  readonly queue: string;
}

export interface SendFrame {
  readonly op: "send";
  readonly id: number;
  readonly queue: string;
  readonly messages: readonly SendMessage[];
}

export interface ReceiveFrame {
  readonly op: "receive";
  readonly id: number;
  readonly queue: string;
  readonly max?: number;
  /** 0 or absent: answers at once. */
  readonly waitMs?: number;
  readonly visibilityMs?: number;
}

/** Deliveries are pushed as there is credit. */
export interface QueueSubscribeFrame {
  readonly op: "queue.subscribe";
  readonly id: number;
  readonly queue: string;
  readonly credit: number;
  readonly visibilityMs?: number;
}

/** Settles deliveries of a queue; with `id` answered once it is on disk. */
export interface SettleFrame {
  readonly op: "settle";
  readonly id?: number;
  readonly queue: string;
  readonly how: "ack" | "reject" | "requeue" | "extend";
  readonly deliveries: readonly number[];
  /** Of reject and requeue: not again before. */
  readonly delayMs?: number;
  /** Of requeue: another queue. */
  readonly to?: string;
  /** Of extend: from now. */
  readonly visibilityMs?: number;
}

export interface PeekFrame {
  readonly op: "peek";
  readonly id: number;
  readonly queue: string;
  /** First sequence looked at. */
  readonly from?: number;
  readonly max?: number;
}

export interface RequestFrame extends Content {
  readonly op: "request";
  readonly id: number;
  readonly timeoutMs: number;
  /** A reply under this key that is not older than its time to live is the answer. */
  readonly cacheKey?: string;
  readonly cacheTtlMs?: number;
}

export interface RespondFrame {
  readonly op: "respond";
  readonly id: number;
  readonly filter: string;
  readonly group?: string;
  readonly credit: number;
}

/** The answer to a request that was delivered; once. */
export interface ReplyFrame extends Content {
  readonly op: "reply";
  readonly id?: number;
  readonly request: number;
  /** It could not be done: the requester gets an error with this text. */
  readonly error?: string;
}

/** One message to several destinations: `a;stream:b;queue:c;route:key`. */
export interface RouteFrame extends Content {
  readonly op: "route";
  readonly id: number;
  readonly to: string;
  /** Of destinations that name none. */
  readonly pattern?: "event" | "stream" | "queue";
  readonly messageId?: string;
}

export type ClientFrame =
  | HelloFrame
  | PingFrame
  | PongFrame
  | PublishFrame
  | SubscribeFrame
  | UnsubscribeFrame
  | CreditFrame
  | StreamSettingsFrame
  | StreamFrame
  | StreamPurgeFrame
  | ListFrame
  | AppendFrame
  | ReadFrame
  | ConsumeFrame
  | SettleRecordsFrame
  | ConsumerFrame
  | QueueSettingsFrame
  | QueueFrame
  | SendFrame
  | ReceiveFrame
  | QueueSubscribeFrame
  | SettleFrame
  | PeekFrame
  | RequestFrame
  | RespondFrame
  | ReplyFrame
  | RouteFrame;

export type ClientOp = ClientFrame["op"];

/** What one connection may ask for. */
export interface NativeLimits {
  readonly frameBytesMax: number;
  readonly payloadBytesMax: number;
  /** Requests that wait for their answer. */
  readonly requestsMax: number;
  /** Messages, sequences or deliveries in one frame. */
  readonly batchMax: number;
  readonly subsMax: number;
  readonly creditMax: number;
  /** Without a frame for so long the server pings, and after twice as long closes. */
  readonly idleMs: number;
}

export interface WelcomeFrame {
  readonly op: "welcome";
  readonly id: number;
  readonly version: 1;
  readonly server: string;
  readonly edgeId: string;
  readonly clientId: string;
  readonly user?: string;
  readonly capabilities: readonly string[];
  readonly limits: NativeLimits;
}

/** An answer; what it has besides depends on the request. */
export interface OkFrame {
  readonly op: "ok";
  readonly id: number;
  readonly [result: string]: unknown;
}

/** Stable codes of errors. */
export const ERROR_CODES = [
  "bad-frame",
  "unknown-op",
  "unsupported-version",
  "not-authenticated",
  "bad-credentials",
  "not-authorized",
  "busy",
  "limit-exceeded",
  "too-large",
  "not-found",
  "exists",
  "wrong-sequence",
  "full",
  "no-responder",
  "responder-error",
  "timeout",
  "expired-delivery",
  "consumer-taken",
  "held",
  "store-failed",
  "shutting-down",
  "taken-over",
  "kicked",
] as const;
export type ErrorCode = (typeof ERROR_CODES)[number];

/** A request was not done; without `id` the connection closes. */
export interface ErrorFrame {
  readonly op: "error";
  readonly id?: number;
  readonly code: ErrorCode;
  readonly text: string;
  /** The same request may succeed later. */
  readonly retry: boolean;
  readonly afterMs?: number;
  /** Of `wrong-sequence`: what the first message would have got. */
  readonly nextSequence?: number;
}

export interface ServerPingFrame {
  readonly op: "ping";
}

export interface ServerPongFrame {
  readonly op: "pong";
  readonly id: number;
}

export interface EventFrame extends Content {
  readonly op: "event";
  readonly sub: number;
  readonly topic: string;
  readonly publishedAt: number;
  readonly retained?: boolean;
}

/** One record of a stream. */
export interface StreamRecord extends Content {
  readonly sequence: number;
  readonly topic: string;
  readonly storedAt: number;
  /** Of durable consumers: 1 for the first time. */
  readonly deliveryCount?: number;
}

export interface RecordsFrame {
  readonly op: "records";
  readonly sub: number;
  readonly records: readonly StreamRecord[];
  /** Ranges that the stream gave up before they were read, both ends included. */
  readonly lost?: readonly (readonly [from: number, to: number])[];
}

/** One message of a queue in the hands of a receiver. */
export interface Delivery extends Content {
  /** Names this handing-over; to settle it. */
  readonly delivery: number;
  readonly sequence: number;
  /** 1 for the first time. */
  readonly deliveryCount: number;
  readonly sentAt: number;
  /** Others may get it from then on. */
  readonly visibleAt: number;
  /** The queue that gave it up. */
  readonly reroutedFrom?: string;
}

/** What `peek` shows of a message. */
export interface PeekedMessage extends Content {
  readonly sequence: number;
  readonly topic: string;
  /** How often it was handed out so far. */
  readonly deliveryCount: number;
  /** Nobody gets it now: it is in somebody's hands, or was rejected with a delay. */
  readonly hidden: boolean;
  readonly sentAt: number;
}

export interface DeliveriesFrame {
  readonly op: "deliveries";
  readonly sub: number;
  readonly deliveries: readonly Delivery[];
}

export interface IncomingRequestFrame extends Content {
  readonly op: "request";
  readonly sub: number;
  /** To be named in the reply. */
  readonly request: number;
  /** How long the requester still waits; absent: it did not say. */
  readonly deadlineMs?: number;
  readonly topic: string;
}

/** Events that found no credit or room; told at most once a second. */
export interface DroppedFrame {
  readonly op: "dropped";
  readonly sub: number;
  readonly count: number;
}

/** The server ended a sub. */
export interface EndedFrame {
  readonly op: "ended";
  readonly sub: number;
  readonly code: ErrorCode;
  readonly text: string;
  readonly retry: boolean;
}

/** What the server may send. */
export type ServerFrame =
  | WelcomeFrame
  | OkFrame
  | ErrorFrame
  | ServerPingFrame
  | ServerPongFrame
  | EventFrame
  | RecordsFrame
  | DeliveriesFrame
  | IncomingRequestFrame
  | DroppedFrame
  | EndedFrame;

/** Subprotocols of WebSocket, in order of preference. */
export const SUBPROTOCOLS = ["rill.v1+msgpack", "rill.v1+json"] as const;
export type Subprotocol = (typeof SUBPROTOCOLS)[number];
