/** One way to break the broker: a small replacement in its sources that some test has to notice. */

export interface Mutant {
  /** What `--only` takes, in kebab case. */
  readonly name: string;
  /** What the broker does wrong then, in one sentence. */
  readonly breaks: string;
  /** The statements of the standard, its section, or the promise of ours that is broken. */
  readonly rule: string;
  /** From the root of the repository. */
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly find: string;
  readonly replacement: string;
  /**
   * Tests that have to notice, run in this order until one fails; few and quick ones. Each a test file, from the root of the repository, or
   * with `: ` and words of their titles some of its tests.
   */
  readonly tests: readonly string[];
}

/** The file's text with the fault in it; undefined: the mutant is stale, its text does not stand in the file exactly once. */
export function mutate(text: string, { find, replacement }: Mutant): string | undefined {
  const at = text.indexOf(find);
  if (at < 0 || text.indexOf(find, at + 1) >= 0) return undefined;
  return text.slice(0, at) + replacement + text.slice(at + find.length);
}
