import type { ListFrame } from "./frame.ts";

const PAGE_MAX = 100;

/** Those that come next behind `after`, in order of their names, and whether there are more. */
export function pageOf<Thing extends { readonly name: string }>(
  things: readonly Thing[],
  { after, max = PAGE_MAX }: ListFrame,
  pageMax: number,
): { readonly page: readonly Thing[]; readonly more: boolean } {
  const behind = things.filter(({ name }) => after === undefined || name > after);
  behind.sort((a, b) => (a.name < b.name ? -1 : 1));
  const size = Math.min(max, pageMax);
  return { page: behind.slice(0, size), more: behind.length > size };
}
