import { statSync } from "node:fs";

/** Polling sees what a Kubernetes secret does (links that change) on every file system. */
const LOOK_MS = 1_000;

/** Changes whenever one of the files does; links are followed. */
function fingerprintOf(paths: readonly string[]): string {
  const parts = paths.map((path) => {
    try {
      const { dev, ino, size, mtimeMs, ctimeMs } = statSync(path);
      return `${dev} ${ino} ${size} ${mtimeMs} ${ctimeMs}`;
    } catch {
      return "gone";
    }
  });
  return parts.join(", ");
}

/**
 * Calls `onChanged` after one of the files changed and then all stayed the same for one look, so that files that belong together are
 * not read half way. Begin before the files are read, so that no change is missed. Returns what ends it.
 */
export function watchFiles(paths: readonly string[], onChanged: () => void): () => void {
  let known = fingerprintOf(paths);
  let seen = known;
  const timer = setInterval(() => {
    const now = fingerprintOf(paths);
    if (now !== known && now === seen) {
      known = now;
      onChanged();
    }
    seen = now;
  }, LOOK_MS).unref();
  return () => clearInterval(timer);
}
