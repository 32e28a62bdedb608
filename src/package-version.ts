import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The version in the package's own file, which is some folders above both the source and what is built of it. */
export function packageVersion(): string {
  let folder = import.meta.dirname;
  while (folder !== dirname(folder)) {
    folder = dirname(folder);
    try {
      const text = readFileSync(join(folder, "package.json"), "utf8");
      return (JSON.parse(text) as { readonly version: string }).version;
    } catch {
      // Not in this folder: look above it.
    }
  }
  return "unknown";
}
