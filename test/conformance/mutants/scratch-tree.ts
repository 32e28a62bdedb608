/** Copies of the sources and tests in the temp folder: mutants live there, and the real tree is never touched. */
import { cpSync, mkdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Mutant, mutate } from "./mutant.ts";

/** What tests need of the repository. */
const COPIED = ["bin", "src", "test", "package.json", "tsconfig.json"];

/** One copy; one mutant at a time. */
export class ScratchTree {
  readonly root: string;

  /** Copies the repository at `origin` into the folder `root`, which is made; who made its parent removes it. */
  constructor(origin: string, root: string) {
    this.root = root;
    mkdirSync(root);
    for (const name of COPIED) cpSync(join(origin, name), join(root, name), { recursive: true });
    symlinkSync(realpathSync(join(origin, "node_modules")), join(root, "node_modules"));
  }

  /** Puts the fault in, lets `use` work with it and takes it out again; undefined: the mutant is stale. */
  async with<T>(mutant: Mutant, use: () => Promise<T>): Promise<T | undefined> {
    const path = join(this.root, mutant.file);
    const original = readFileSync(path, "utf8");
    const mutated = mutate(original, mutant);
    if (mutated === undefined) return undefined;
    writeFileSync(path, mutated);
    try {
      return await use();
    } finally {
      writeFileSync(path, original);
    }
  }
}
