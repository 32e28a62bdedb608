/**
 * The retained messages: the last one of each topic, in memory by topic level and in the table `retained`. Messages
 * with QoS 1 and 2 are staged at once with their publisher's acknowledgement; QoS 0 ones are written lazily, the last of
 * each topic with the next group [MQTT 5.0 section 3.3.1.3].
 */
import { after, type Clock, type Instant } from "../lib/clock.ts";
import { DeadlineHeap } from "../lib/deadline-heap.ts";
import type { Principal } from "./authenticator.ts";
import { copyMessage, isExpired, type Message, propertyBytes, remainingMs } from "./message.ts";
import { decodeMessageRecord, encodeMessageRecord } from "./message-record.ts";
import { compareTopics, RetainedNode, walk } from "./retained-tree.ts";
import type { Store } from "./store.ts";
import type { SysTopics } from "./sys-topics.ts";
import type { Topic, TopicTable } from "./topic.ts";

export interface RetainedLimits {
  readonly messagesMax: number;
  /** Payloads, properties and topics, in bytes. */
  readonly bytesMax: number;
  /** Most that one user has published; whoever has no user name counts as one user. */
  readonly messagesPerUserMax: number;
}

/** Expired messages removed in one step. */
const EXPIRED_STEP = 1_000;
const SYSTEM = "$SYS";

export class RetainedMessages {
  readonly #store: Store;
  readonly #limits: RetainedLimits;
  readonly #system: SysTopics | undefined;
  readonly #root = new RetainedNode();
  readonly #dirty = new Set<Topic>();
  readonly #expiries = new DeadlineHeap<Message>();
  readonly #perUser = new Map<Principal, number>();
  #size = 0;
  #bytes = 0;

  /** `system` has the values of the topics below `$SYS`, which are as good as retained. */
  constructor(store: Store, limits: RetainedLimits, system?: SysTopics) {
    this.#store = store;
    this.#system = system;
    this.#limits = limits;
  }

  get size(): number {
    return this.#size;
  }

  /** Bytes of payloads and topics. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Removes what has expired, some of it; to be called again and again. Written as lazily as QoS 0. */
  expire(clock: Clock): void {
    const now = clock.now();
    for (let i = 0; i < EXPIRED_STEP; i++) {
      const message = this.#expiries.takeDue(now);
      if (message === undefined) return;
      if (this.#delete(message.topic)) this.#dirty.add(message.topic);
    }
  }

  /** After a restart, or when messages turned out to be older (see `Clock.since`): says anew when each expires. */
  scheduleExpiries(clock: Clock): void {
    for (const node of this.#nodes()) {
      const leftMs = node.message === undefined ? undefined : remainingMs(node.message, clock);
      this.#schedule(node, leftMs === undefined ? undefined : after(clock.now(), leftMs));
    }
  }

  #schedule(node: RetainedNode, at: Instant | undefined): void {
    this.#expiries.cancel(node.expiry);
    const { message } = node;
    const isToExpire = message !== undefined && at !== undefined;
    node.expiry = isToExpire ? this.#expiries.add(at, message) : undefined;
  }

  /** Topics whose last message is not staged yet. */
  get dirtySize(): number {
    return this.#dirty.size;
  }

  /** Reads what is on disk; returns how many records were damaged and left out. */
  recover(topics: TopicTable): number {
    let damaged = 0;
    for (const [, value] of this.#store.scan("retained", new Uint8Array(0))) {
      const message = decodeMessageRecord(value, topics);
      if (message === undefined) damaged++;
      else this.#set(message, message.user);
    }
    return damaged;
  }

  /** True when there is room for the message of this publisher (or it deletes one). */
  hasRoom(message: Message, principal: Principal): boolean {
    if (message.payloadStart === message.payloadEnd) return true;
    const node = this.#find(message.topic);
    const old = node?.message;
    const isOwn = old !== undefined && node?.principal === principal;
    const ofUser = this.#perUser.get(principal) ?? 0;
    if (!isOwn && ofUser >= this.#limits.messagesPerUserMax) return false;
    const count = this.#size + (old === undefined ? 1 : 0);
    const bytes = this.#bytes + costOf(message) - (old === undefined ? 0 : costOf(old));
    return count <= this.#limits.messagesMax && bytes <= this.#limits.bytesMax;
  }

  /**
   * Keeps the message, or deletes what was kept when its payload is empty [MQTT-3.3.1-6]. Copies. True: the open group
   * has it, and its acknowledgement waits for that; false: it is written later, or nothing changed.
   */
  keep(message: Message, principal: Principal): boolean {
    const { topic } = message;
    if (message.payloadStart === message.payloadEnd) {
      if (!this.#delete(topic) && !this.#dirty.has(topic)) return false;
    } else {
      this.#set(copyMessage(message), principal);
    }
    if (message.qos === 0) {
      this.#dirty.add(topic);
      return false;
    }
    this.#stage(topic);
    return true;
  }

  /** Stages what is waiting to be written. */
  stageDirty(): void {
    for (const topic of this.#dirty) this.#stage(topic);
    this.#dirty.clear();
  }

  get(topic: Topic): Message | undefined {
    const node = this.#find(topic);
    // Nobody can publish below `$SYS`, so nothing is kept there.
    return node === undefined ? this.#system?.get(topic) : node.message;
  }

  /** Who published what is kept for the topic. */
  principalOf(topic: Topic): Principal {
    return this.#find(topic)?.principal;
  }

  /** All retained messages, in no order; messages may come and go meanwhile. */
  *all(): IterableIterator<Message> {
    for (const { message } of this.#nodes()) if (message !== undefined) yield message;
  }

  *#nodes(): IterableIterator<RetainedNode> {
    const stack: Iterator<RetainedNode>[] = [[this.#root].values()];
    for (let top = stack[stack.length - 1]; top !== undefined; top = stack[stack.length - 1]) {
      const { value: node, done } = top.next();
      if (done === true) {
        stack.pop();
        continue;
      }
      yield node;
      if (node.children !== undefined) stack.push(node.children.values());
    }
  }

  /** Removes the retained message of a topic, as an order of the operator; false: there was none. Staged when it returns. */
  remove(topic: Topic): boolean {
    if (!this.#delete(topic)) return false;
    this.#stage(topic);
    return true;
  }

  /** The topics whose retained message matches a filter and has not expired. */
  match(topicFilter: string, clock: Clock): Topic[] {
    const found: Topic[] = [];
    this.#visit(topicFilter, clock, (topic) => found.push(topic));
    return found;
  }

  /** Those of them that come next behind a topic, in the order of `compareTopics`; at most `limit`. */
  page(topicFilter: string, after: string | undefined, limit: number, clock: Clock): Topic[] {
    if (topicFilter.split("/", 1)[0] === SYSTEM) {
      const all = this.match(topicFilter, clock).sort((a, b) => compareTopics(a.text, b.text));
      const rest = all.filter(({ text }) => after === undefined || compareTopics(text, after) > 0);
      return rest.slice(0, limit);
    }
    const found: Topic[] = [];
    for (const { message } of walk(this.#root, topicFilter, after)) {
      if (found.length >= limit) break;
      if (message !== undefined && !isExpired(message, clock)) found.push(message.topic);
    }
    return found;
  }

  #visit(topicFilter: string, clock: Clock, visit: (topic: Topic) => void): void {
    const collect = ({ message }: RetainedNode): void => {
      if (message !== undefined && !isExpired(message, clock)) visit(message.topic);
    };
    const levels = topicFilter.split("/");
    if (levels[0] === SYSTEM) {
      for (const topic of this.#system?.match(topicFilter) ?? []) visit(topic);
      return;
    }
    let nodes: RetainedNode[] = [this.#root];
    for (const [depth, level] of levels.entries()) {
      if (level === "#") {
        for (const node of nodes) visitBelow(node, depth === 0, collect);
        return;
      }
      nodes = nodes.flatMap((node) => childrenOf(node, level, depth === 0));
    }
    for (const node of nodes) collect(node);
  }

  #stage(topic: Topic): void {
    this.#dirty.delete(topic);
    const node = this.#find(topic);
    const message = node?.message;
    if (message === undefined) this.#store.remove("retained", topic.bytes);
    else {
      const record = encodeMessageRecord(message, node?.principal);
      this.#store.put("retained", topic.bytes, record);
    }
  }

  #find(topic: Topic): RetainedNode | undefined {
    let node: RetainedNode | undefined = this.#root;
    for (const level of topic.text.split("/")) {
      node = node.children?.get(level);
      if (node === undefined) return undefined;
    }
    return node;
  }

  #countFor(principal: Principal, change: number): void {
    const count = (this.#perUser.get(principal) ?? 0) + change;
    if (count > 0) this.#perUser.set(principal, count);
    else this.#perUser.delete(principal);
  }

  #set(message: Message, principal: Principal): void {
    let node = this.#root;
    for (const level of message.topic.text.split("/")) {
      node = node.open(level);
    }
    if (node.message === undefined) this.#size++;
    else {
      this.#bytes -= costOf(node.message);
      this.#countFor(node.principal, -1);
    }
    this.#bytes += costOf(message);
    this.#countFor(principal, 1);
    node.message = message;
    node.principal = principal;
    this.#schedule(node, message.expiresAt);
  }

  #delete(topic: Topic): boolean {
    const levels = topic.text.split("/");
    const path: RetainedNode[] = [this.#root];
    for (const level of levels) {
      const child = path[path.length - 1]?.children?.get(level);
      if (child === undefined) return false;
      path.push(child);
    }
    const leaf = path[path.length - 1];
    if (leaf?.message === undefined) return false;
    this.#size--;
    this.#bytes -= costOf(leaf.message);
    this.#countFor(leaf.principal, -1);
    leaf.message = undefined;
    this.#schedule(leaf, undefined);
    leaf.principal = undefined;
    for (let i = path.length - 1; i > 0; i--) {
      const node = path[i];
      if (node?.message !== undefined || (node?.children?.size ?? 0) > 0) break;
      path[i - 1]?.drop(levels[i - 1] ?? "");
    }
    return true;
  }
}

const costOf = ({ payloadStart, payloadEnd, topic, properties }: Message): number =>
  payloadEnd - payloadStart + topic.bytes.length + propertyBytes(properties);

const isHidden = (level: string, isFirst: boolean): boolean =>
  isFirst && level.charCodeAt(0) === 0x24;

function childrenOf(node: RetainedNode, level: string, isFirst: boolean): RetainedNode[] {
  if (node.children === undefined) return [];
  if (level !== "+") {
    const child = node.children.get(level);
    return child === undefined ? [] : [child];
  }
  const found: RetainedNode[] = [];
  for (const [name, child] of node.children) if (!isHidden(name, isFirst)) found.push(child);
  return found;
}

/** The node itself and all below it; iterative, because topics may be deep. */
function visitBelow(
  start: RetainedNode,
  isFirst: boolean,
  visit: (node: RetainedNode) => void,
): void {
  const stack: RetainedNode[] = [];
  visit(start);
  for (const [name, child] of start.children ?? []) if (!isHidden(name, isFirst)) stack.push(child);
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    visit(node);
    // Not spread into push: a node may have more children than a call may have arguments.
    for (const child of node.children?.values() ?? []) stack.push(child);
  }
}
