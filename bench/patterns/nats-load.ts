import {
  AckPolicy,
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
} from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { BACKLOG_FACTOR, type Load, PAYLOAD_BYTES, type Pattern } from "./load-order.ts";
import { NatsLink } from "./nats-link.ts";

const payload = Buffer.alloc(PAYLOAD_BYTES, 0x61);
const NANOS_PER_MINUTE = 60e9;
/** Records asked for at a time; more when half of them have come. */
const READ_BATCH = 8_192;
/** Subscriptions of one connection. */
const [ANSWERS, DELIVERED, SETTLED, ASKED] = [1, 2, 3, 4] as const;

const publication = (subject: string, reply: string | undefined, content: Uint8Array): Buffer =>
  Buffer.concat([
    Buffer.from(`PUB ${subject} ${reply === undefined ? "" : `${reply} `}${content.length}\r\n`),
    content,
    Buffer.from("\r\n"),
  ]);

const subscription = (subject: string, sid: number): Buffer =>
  Buffer.from(`SUB ${subject} ${sid}\r\n`);

function pull(stream: string, consumer: string, batch: number): Buffer {
  const request = JSON.stringify({ batch, expires: NANOS_PER_MINUTE });
  const subject = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
  return publication(subject, "inbox.delivered", Buffer.from(request));
}

/** Of a delivery; it is answered. */
const acknowledgement = (reply: Buffer): Buffer =>
  Buffer.from(`PUB ${reply.toString("latin1")} inbox.settled 4\r\n+ACK\r\n`);

/** JetStream under load: one connection publishes and asks, the other receives, reads and answers. Streams are made by its own client. */
export class NatsLoad implements Load {
  readonly #client: NatsConnection;
  readonly #streams: JetStreamManager;
  readonly #sender: NatsLink;
  readonly #receiver: NatsLink;
  readonly #times: number[] = [];
  #isStopping = false;
  #underWay = 0;
  #onIdle: () => void = () => undefined;

  private constructor(
    client: NatsConnection,
    streams: JetStreamManager,
    sender: NatsLink,
    receiver: NatsLink,
  ) {
    this.#client = client;
    this.#streams = streams;
    this.#sender = sender;
    this.#receiver = receiver;
    sender.send(subscription("inbox.answers", ANSWERS));
    receiver.send(subscription("inbox.delivered", DELIVERED));
    receiver.send(subscription("inbox.settled", SETTLED));
  }

  static async open(port: number): Promise<NatsLoad> {
    const client = await connect({ servers: `127.0.0.1:${port}` });
    const streams = await jetstreamManager(client);
    return new NatsLoad(client, streams, await NatsLink.open(port), await NatsLink.open(port));
  }

  async start(
    pattern: Pattern,
    outstanding: number,
    finished: (count: number) => void,
  ): Promise<void> {
    this.#isStopping = false;
    if (pattern === "queue") await this.#queue(outstanding, finished);
    else if (pattern === "queue-windows") await this.#queueWindows(outstanding, finished);
    else if (pattern === "append") await this.#append(outstanding, finished);
    else if (pattern === "consume") await this.#consume(finished);
    else this.#requests(finished);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    if (this.#underWay === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  takeTimes(): number[] {
    return this.#times.splice(0);
  }

  close(): void {
    this.#sender.close();
    this.#receiver.close();
    this.#client.close().catch(() => undefined);
  }

  /** One is done: one more, or none. Hot path: per message. */
  #goOn(publish: Buffer): void {
    if (!this.#isStopping) this.#sender.send(publish);
    else if (--this.#underWay === 0) this.#onIdle();
  }

  #begin(outstanding: number, publish: Buffer): void {
    this.#underWay = outstanding;
    for (let i = 0; i < outstanding; i++) this.#sender.send(publish);
  }

  async #addQueue(name: string, ackPendingMax?: number): Promise<void> {
    await this.#streams.streams.add({
      name,
      subjects: [name],
      retention: RetentionPolicy.Workqueue,
      storage: StorageType.File,
    });
    await this.#streams.consumers.add(name, {
      durable_name: "worker",
      ack_policy: AckPolicy.Explicit,
      ack_wait: NANOS_PER_MINUTE,
      ...(ackPendingMax === undefined ? {} : { max_ack_pending: ackPendingMax }),
    });
  }

  async #queue(outstanding: number, finished: (count: number) => void): Promise<void> {
    await this.#addQueue("queue");
    const publish = publication("queue", "inbox.answers", payload);
    const half = Math.ceil(outstanding / 2);
    let received = 0;
    this.#sender.onMessage = () => undefined;
    this.#receiver.onMessage = (sid, reply) => {
      if (sid === SETTLED) {
        finished(1);
        this.#goOn(publish);
        return;
      }
      if (reply === undefined) return;
      this.#receiver.send(acknowledgement(reply));
      if (++received % half === 0) this.#receiver.send(pull("queue", "worker", half));
    };
    this.#receiver.send(pull("queue", "worker", half * 2));
    this.#begin(outstanding, publish);
  }

  /** A publisher with so many unanswered messages, and a consumer with so many unacknowledged ones, each at its own pace. */
  async #queueWindows(outstanding: number, finished: (count: number) => void): Promise<void> {
    await this.#addQueue("windows", outstanding);
    const publish = publication("windows", "inbox.answers", payload);
    let unanswered = 0;
    const topUp = (): void => {
      if (this.#isStopping) {
        if (this.#underWay === 0) this.#onIdle();
        return;
      }
      while (unanswered < outstanding && this.#underWay < outstanding * BACKLOG_FACTOR) {
        unanswered++;
        this.#underWay++;
        this.#sender.send(publish);
      }
    };
    this.#sender.onMessage = () => {
      unanswered--;
      topUp();
    };
    const half = Math.ceil(outstanding / 2);
    let received = 0;
    this.#receiver.onMessage = (sid, reply) => {
      if (sid === SETTLED) {
        this.#underWay--;
        finished(1);
        topUp();
        return;
      }
      if (reply === undefined) return;
      this.#receiver.send(acknowledgement(reply));
      if (++received % half === 0) this.#receiver.send(pull("windows", "worker", half));
    };
    this.#receiver.send(pull("windows", "worker", half * 2));
    topUp();
  }

  async #append(outstanding: number, finished: (count: number) => void): Promise<void> {
    const storage = StorageType.File;
    await this.#streams.streams.add({ name: "stream", subjects: ["stream"], storage });
    const publish = publication("stream", "inbox.answers", payload);
    this.#sender.onMessage = () => {
      finished(1);
      this.#goOn(publish);
    };
    this.#begin(outstanding, publish);
  }

  /** Reads all that is there, again and again, each time by a consumer of its own. */
  async #consume(finished: (count: number) => void): Promise<void> {
    const { state } = await this.#streams.streams.info("stream");
    const makeConsumer = async (): Promise<string> => {
      const ack_policy = AckPolicy.None;
      const { name } = await this.#streams.consumers.add("stream", {
        ack_policy,
        mem_storage: true,
      });
      return name;
    };
    let consumer = await makeConsumer();
    let left = state.messages;
    let asked = 0;
    const ask = (count: number): void => {
      asked += count;
      if (count > 0) this.#receiver.send(pull("stream", consumer, count));
    };
    const begin = (): void => {
      left = state.messages;
      asked = 0;
      ask(Math.min(READ_BATCH, left));
    };
    let inBatch = 0;
    this.#receiver.onMessage = (sid, reply) => {
      if (sid !== DELIVERED || reply === undefined) return;
      finished(1);
      left--;
      if (left === 0 && !this.#isStopping) {
        makeConsumer().then(
          (name) => {
            consumer = name;
            begin();
          },
          () => undefined,
        );
      } else if (++inBatch >= READ_BATCH / 2) {
        inBatch = 0;
        if (!this.#isStopping) ask(Math.min(READ_BATCH / 2, state.messages - asked));
      }
    };
    begin();
  }

  #requests(finished: (count: number) => void): void {
    const reply = publication("inbox.answers", undefined, payload);
    this.#receiver.send(subscription("echo", ASKED));
    this.#receiver.onMessage = (sid) => {
      if (sid === ASKED) this.#receiver.sendNow(reply);
    };
    const request = publication("echo", "inbox.answers", payload);
    let begin = performance.now();
    this.#sender.onMessage = (_sid, _reply, bytes) => {
      // Until the responder is subscribed: "no responders".
      if (bytes === PAYLOAD_BYTES) {
        this.#times.push(performance.now() - begin);
        finished(1);
      }
      if (this.#isStopping) {
        this.#underWay = 0;
        this.#onIdle();
        return;
      }
      begin = performance.now();
      this.#sender.sendNow(request);
    };
    this.#underWay = 1;
    this.#sender.sendNow(request);
  }
}
