import { BACKLOG_FACTOR, type Load, PAYLOAD_BYTES, type Pattern } from "./load-order.ts";
import { maskedFrame, NO_EVENTS, type RillEvents, RillLink } from "./rill-link.ts";

const payload = Buffer.alloc(PAYLOAD_BYTES, 0x61);
const messages = [{ payload }];
/** Of the reader of a stream; topped up when half of it is used. */
const READ_CREDIT = 8_192;
const REQUEST_TIMEOUT_MS = 5_000;

/** RillMQ under load: one connection sends, appends and asks, the other receives, reads and answers. */
export class RillLoad implements Load {
  readonly #sender: RillLink;
  readonly #receiver: RillLink;
  readonly #times: number[] = [];
  #onAnswer: () => void = () => undefined;
  #onSettled: () => void = () => undefined;
  #onDeliveries: RillEvents["onDeliveries"] = () => undefined;
  #onRecords: RillEvents["onRecords"] = () => undefined;
  #isStopping = false;
  #underWay = 0;
  #onIdle: () => void = () => undefined;
  #appended = 0;

  private constructor(sender: RillLink, receiver: RillLink) {
    this.#sender = sender;
    this.#receiver = receiver;
    sender.events = { ...NO_EVENTS, onOk: () => this.#onAnswer() };
    receiver.events = {
      onOk: () => this.#onSettled(),
      onDeliveries: (sub, deliveries) => this.#onDeliveries(sub, deliveries),
      onRecords: (sub, count) => this.#onRecords(sub, count),
      onRequest: (request) => receiver.sendNow(maskedFrame({ op: "reply", request, payload })),
    };
  }

  static async open(port: number): Promise<RillLoad> {
    return new RillLoad(await RillLink.open(port), await RillLink.open(port));
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
    else await this.#requests(finished);
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
  }

  /** So many are done: as many more, or none. */
  #goOn(count: number, frame: Buffer): void {
    if (this.#isStopping) {
      this.#underWay -= count;
      if (this.#underWay === 0) this.#onIdle();
      return;
    }
    for (let i = 0; i < count; i++) this.#sender.send(frame);
  }

  async #queue(outstanding: number, finished: (count: number) => void): Promise<void> {
    const send = maskedFrame({ op: "send", id: 1, queue: "bench", messages });
    const settling: number[] = [];
    this.#onAnswer = () => undefined;
    this.#onSettled = () => {
      const count = settling.shift() ?? 0;
      finished(count);
      this.#goOn(count, send);
    };
    this.#onDeliveries = (sub, deliveries) => {
      settling.push(deliveries.length);
      const settle = { op: "settle", id: 2, queue: "bench", how: "ack", deliveries };
      this.#receiver.send(maskedFrame(settle));
      this.#receiver.send(maskedFrame({ op: "credit", sub, add: deliveries.length }));
    };
    const subscribe = { op: "queue.subscribe", id: 3, queue: "bench", credit: outstanding };
    await this.#receiver.call(subscribe);
    this.#underWay = outstanding;
    this.#goOn(outstanding, send);
  }

  /** A sender with so many unanswered sends, and a receiver with so many unsettled deliveries, each at its own pace. */
  async #queueWindows(outstanding: number, finished: (count: number) => void): Promise<void> {
    const queue = "windows";
    const send = maskedFrame({ op: "send", id: 1, queue, messages });
    const settling: number[] = [];
    let unanswered = 0;
    const topUp = (): void => {
      if (this.#isStopping) {
        if (this.#underWay === 0) this.#onIdle();
        return;
      }
      while (unanswered < outstanding && this.#underWay < outstanding * BACKLOG_FACTOR) {
        unanswered++;
        this.#underWay++;
        this.#sender.send(send);
      }
    };
    this.#onAnswer = () => {
      unanswered--;
      topUp();
    };
    let sub = 0;
    this.#onSettled = () => {
      const count = settling.shift() ?? 0;
      this.#underWay -= count;
      finished(count);
      if (count > 0) this.#receiver.send(maskedFrame({ op: "credit", sub, add: count }));
      topUp();
    };
    this.#onDeliveries = (from, deliveries) => {
      sub = from;
      settling.push(deliveries.length);
      this.#receiver.send(maskedFrame({ op: "settle", id: 2, queue, how: "ack", deliveries }));
    };
    await this.#receiver.call({ op: "queue.subscribe", id: 3, queue, credit: outstanding });
    topUp();
  }

  async #append(outstanding: number, finished: (count: number) => void): Promise<void> {
    const settings = { stream: "bench", retain: "limits" };
    if (this.#appended === 0) await this.#sender.call({ op: "stream.create", id: 1, ...settings });
    const append = maskedFrame({ op: "append", id: 1, stream: "bench", messages });
    this.#onAnswer = () => {
      this.#appended++;
      finished(1);
      this.#goOn(1, append);
    };
    this.#underWay = outstanding;
    this.#goOn(outstanding, append);
  }

  /** Reads all that was appended, again and again. */
  async #consume(finished: (count: number) => void): Promise<void> {
    const from = { at: "first" };
    const consume = maskedFrame({
      op: "consume",
      id: 1,
      stream: "bench",
      from,
      credit: READ_CREDIT,
    });
    let left = this.#appended;
    let used = 0;
    this.#onSettled = () => undefined;
    this.#onRecords = (sub, count) => {
      finished(count);
      left -= count;
      used += count;
      if (left <= 0 || this.#isStopping) {
        this.#receiver.send(maskedFrame({ op: "unsubscribe", id: 1, sub }));
        left = this.#appended;
        used = 0;
        if (!this.#isStopping) this.#receiver.send(consume);
        else this.#onRecords = () => undefined;
      } else if (used >= READ_CREDIT / 2) {
        this.#receiver.send(maskedFrame({ op: "credit", sub, add: used }));
        used = 0;
      }
    };
    this.#receiver.send(consume);
  }

  async #requests(finished: (count: number) => void): Promise<void> {
    const topic = "bench/echo";
    await this.#receiver.call({ op: "respond", id: 1, filter: topic, credit: 10_000_000 });
    const timeoutMs = REQUEST_TIMEOUT_MS;
    const ask = maskedFrame({ op: "request", id: 1, topic, timeoutMs, payload });
    let begin = performance.now();
    this.#onAnswer = () => {
      const now = performance.now();
      this.#times.push(now - begin);
      finished(1);
      if (this.#isStopping) {
        this.#underWay = 0;
        this.#onIdle();
        return;
      }
      begin = performance.now();
      this.#sender.sendNow(ask);
    };
    this.#underWay = 1;
    this.#sender.sendNow(ask);
  }
}
