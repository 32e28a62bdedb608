import type { PageFile } from "./page-file.ts";
import type { Snapshot } from "./snapshot.ts";
import { PageSet, TreeWalk } from "./tree-walk.ts";

/**
 * Pages that are free; undefined when the list of them is damaged. Each entry of its tree is one list, u64 each: the count of
 * what follows, then page numbers. 0 is an empty place; a negative number -n says that the page after it starts a run of n.
 */
export function readFreePages(
  file: PageFile,
  snapshot: Snapshot,
  reached: PageSet,
  onDamage: (page: number, why: string) => void = () => undefined,
): PageSet | undefined {
  if (snapshot.free === undefined) return undefined;
  const free = new PageSet(Math.max(file.pages, snapshot.lastPage + 1));
  let isWhole = true;
  for (const step of new TreeWalk(file, reached, snapshot.transaction, true).steps(snapshot.free)) {
    if (step.kind === "gap") {
      isWhole = false;
      onDamage(step.gap.page, step.gap.why);
    } else if (!addList(Buffer.from(step.value), snapshot.lastPage, free)) {
      isWhole = false;
      onDamage(0, "a list of free pages that makes no sense");
    }
  }
  return isWhole ? free : undefined;
}

/** False: the list makes no sense. */
function addList(list: Buffer, lastPage: number, free: PageSet): boolean {
  const count = list.length < 8 ? -1 : Number(list.readBigUInt64LE(0));
  if (list.length % 8 !== 0 || count < 0 || count * 8 + 8 > list.length) return false;
  for (let index = 1; index <= count; index++) {
    const entry = Number(list.readBigInt64LE(index * 8));
    if (entry === 0) continue;
    const isRun = entry < 0;
    // The length of a run that a later list has.
    if (isRun && index === count) break;
    if (isRun) index++;
    const first = isRun ? Number(list.readBigInt64LE(index * 8)) : entry;
    const last = isRun ? first - entry - 1 : first;
    if (!(first >= 2 && last <= lastPage)) return false;
    for (let page = first; page <= last; page++) free.add(page);
  }
  return true;
}
