/**
 * The tree of retained messages, by topic level, and how a page of it is found without a look at what was on the pages before. Pages
 * are in the order of their topics' levels: a topic comes before those below it, and these before whatever comes behind it by name.
 */
import type { Deadline } from "../lib/deadline-heap.ts";
import type { Principal } from "./authenticator.ts";
import type { Message } from "./message.ts";

export class RetainedNode {
  children: Map<string, RetainedNode> | undefined;
  message: Message | undefined;
  /** Who published it. */
  principal: Principal;
  expiry: Deadline<Message> | undefined;
  /** Names of the children in order; made when they are first wanted, and kept up from then on. */
  #names: string[] | undefined;

  /** The child of this name, made when there is none. */
  open(name: string): RetainedNode {
    this.children ??= new Map();
    let child = this.children.get(name);
    if (child !== undefined) return child;
    child = new RetainedNode();
    this.children.set(name, child);
    this.#names?.splice(lowerBound(this.#names, name), 0, name);
    return child;
  }

  drop(name: string): void {
    if (this.children?.delete(name) === true) {
      this.#names?.splice(lowerBound(this.#names, name), 1);
    }
  }

  get names(): readonly string[] {
    this.#names ??= [...(this.children?.keys() ?? [])].sort();
    return this.#names;
  }
}

/** Negative when one topic comes before another, positive when behind it, 0 when it is the same. */
export function compareTopics(one: string, other: string): number {
  const length = Math.min(one.length, other.length);
  for (let i = 0; i < length; i++) {
    const a = one.charCodeAt(i);
    const b = other.charCodeAt(i);
    if (a !== b) return rankOf(a) - rankOf(b);
  }
  return one.length - other.length;
}

const SEPARATOR = 0x2f;

/** The end of a level comes before whatever goes on with it. */
const rankOf = (code: number): number => (code === SEPARATOR ? -1 : code);

/** Where a walk is: children of a node, in order. */
interface Step {
  readonly node: RetainedNode;
  readonly names: readonly string[];
  index: number;
  /** Level of these children in topics. */
  readonly depth: number;
  /** All children and all below them match. */
  readonly isBelow: boolean;
  /** The node is `after` or above it: children before that are left out. */
  readonly isBound: boolean;
}

/** Nodes with a message whose topic matches a filter, in order, behind `after`. */
export function* walk(
  root: RetainedNode,
  topicFilter: string,
  after: string | undefined,
): IterableIterator<RetainedNode> {
  const levels = topicFilter.split("/");
  const bound = after?.split("/") ?? [];
  const stack: Step[] = [];
  const enter = (node: RetainedNode, depth: number, isBelow: boolean, isBound: boolean): void => {
    const level = levels[depth];
    const isAll = isBelow || level === "#";
    if (node.children === undefined || (!isAll && level === undefined)) return;
    const names = isAll || level === "+" ? node.names : [level ?? ""];
    const first = isBound ? bound[depth] : undefined;
    const index = first === undefined ? 0 : lowerBound(names, first);
    stack.push({ node, names, index, depth, isBelow: isAll, isBound: first !== undefined });
  };
  enter(root, 0, false, after !== undefined);
  for (let step = stack[stack.length - 1]; step !== undefined; step = stack[stack.length - 1]) {
    const name = step.names[step.index++];
    if (name === undefined) {
      stack.pop();
      continue;
    }
    const { depth, isBelow } = step;
    const child = step.node.children?.get(name);
    // Wildcards in front match nothing that begins with $ [MQTT-4.7.2-1].
    const isHidden = depth === 0 && name.charCodeAt(0) === 0x24 && levels[0] !== name;
    if (child === undefined || isHidden) continue;
    const isBound = step.isBound && name === bound[depth];
    const next = levels[depth + 1];
    const isMatch = isBelow || depth === levels.length - 1 || next === "#";
    // A node above `after`, or itself, comes before what is wanted.
    if (isMatch && !isBound && child.message !== undefined) yield child;
    enter(child, depth + 1, isBelow, isBound);
  }
}

/** Index of the first name that is not before this one. */
function lowerBound(names: readonly string[], name: string): number {
  let low = 0;
  let high = names.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((names[middle] ?? "") < name) low = middle + 1;
    else high = middle;
  }
  return low;
}
