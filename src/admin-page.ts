/** Pages of long lists for the admin channel: in order, bounded, and found in steps between which the event loop goes on. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { AdminError } from "./net/admin-server.ts";

/** Entries looked at between two turns of the event loop. */
const STEP = 1_000;
const LIMIT = 100;
const LIMIT_MAX = 1_000;

/** What is asked for: so many entries, in order of their keys, behind `after`. */
export interface PageRequest {
  readonly after: string | undefined;
  readonly limit: number;
}

/** Some entries; `next` is the `after` of the page behind it, absent at the end. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next?: string;
}

/** The object that the body of a request is. @throws AdminError 400 */
export function bodyObject(body: unknown): Readonly<Record<string, unknown>> {
  if (body === undefined) return {};
  if (typeof body === "object" && body !== null && !Array.isArray(body)) {
    return body as Readonly<Record<string, unknown>>;
  }
  throw new AdminError(400, "the body must be an object");
}

/** A text in the body. @throws AdminError 400 when it is missing */
export function textIn(body: unknown, name: string): string {
  const value = bodyObject(body)[name];
  if (typeof value === "string") return value;
  throw new AdminError(400, `${name} is needed, as text`);
}

/** `after` and `limit` in the body. @throws AdminError 400 */
export function pageIn(body: unknown): PageRequest {
  const { after, limit = LIMIT } = bodyObject(body);
  if (after !== undefined && typeof after !== "string") {
    throw new AdminError(400, "after must be text");
  }
  if (typeof limit !== "number" || !Number.isSafeInteger(limit) || limit < 1) {
    throw new AdminError(400, "limit must be a whole number from 1");
  }
  return { after, limit: Math.min(limit, LIMIT_MAX) };
}

/** Calls `visit` for each entry, a step per turn of the event loop; the collection may change meanwhile. */
export async function inSteps<T>(
  entries: Iterable<T>,
  visit: (entry: T) => void | Promise<void>,
): Promise<void> {
  let count = 0;
  for (const entry of entries) {
    await visit(entry);
    if (++count % STEP === 0) await nextTurn();
  }
}

/** The page of those entries that have a key, each key once, ordered by it. */
export async function pageOf<T>(
  entries: Iterable<T>,
  keyOf: (entry: T) => string | undefined,
  { after, limit }: PageRequest,
): Promise<{ readonly entries: readonly T[]; readonly next?: string }> {
  let kept = new Map<string, T>();
  /** Above the last of a full page nothing is wanted. */
  let bound: string | undefined;
  const shrink = (): void => {
    const keys = [...kept.keys()].sort(byCode).slice(0, limit + 1);
    if (keys.length > limit) bound = keys[limit];
    kept = new Map(keys.map((key) => [key, kept.get(key) as T]));
  };
  await inSteps(entries, (entry) => {
    const key = keyOf(entry);
    if (key === undefined || (after !== undefined && key <= after)) return;
    if (bound !== undefined && key > bound) return;
    kept.set(key, entry);
    if (kept.size > 2 * limit + STEP) shrink();
  });
  shrink();
  const found = [...kept];
  const last = found[limit - 1];
  const page = found.slice(0, limit).map(([, entry]) => entry);
  return found.length > limit && last !== undefined
    ? { entries: page, next: last[0] }
    : { entries: page };
}

const byCode = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
