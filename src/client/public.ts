/** What both entries of the package export besides `connect`. */
export type {
  Content,
  Delivery,
  ErrorCode,
  NativeLimits,
  PeekedMessage,
  Start,
  StreamRecord,
  Subprotocol,
} from "../native/frame.ts";
export type { RillClient, RouteOptions } from "./client.ts";
export type { CallOptions, ClientOptions, ClientState } from "./client-options.ts";
export { jsonOf, type MessageInput, type Payload, type Sendable, textOf } from "./content.ts";
export type { EventMessage, PublishOptions, SubscribeOptions } from "./events.ts";
export type {
  QueueMessage,
  QueueSettings,
  QueueSubscribeOptions,
  ReceiveOptions,
  RequeueOptions,
  Sent,
} from "./queues.ts";
export type {
  IncomingRequest,
  Reply,
  RequestHandler,
  RequestOptions,
  Responder,
  RespondOptions,
} from "./requests.ts";
export { type ClientErrorCode, RillError } from "./rill-error.ts";
export type {
  AppendOptions,
  ConsumedRecord,
  ConsumeOptions,
  LostRange,
  ReadOptions,
  StreamSettings,
} from "./streams.ts";
export type { Subscription, SubscriptionOptions } from "./subscription.ts";
