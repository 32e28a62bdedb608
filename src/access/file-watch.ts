import { statSync } from "node:fs";

/** Polling sees what a Kubernetes secret does (links that change) on every file system. */
const LOOK_MS = 1_000;

/** Changes whenever the file does; links are followed. */
function fingerprintOf(path: string): string {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = statSync(path);
    return `${dev} ${ino} ${size} ${mtimeMs} ${ctimeMs}`;
  } catch {
    return "gone";
  }
}

/** Calls `onChanged` after the file changed and then stayed the same for one look. Returns what ends that. */
export function watchFile(path: string, onChanged: () => void): () => void {
  let known = fingerprintOf(path);
  let seen = known;
  const timer = setInterval(() => {
    const now = fingerprintOf(path);
    if (now !== known && now === seen) {
      known = now;
      onChanged();
    }
    seen = now;
  }, LOOK_MS).unref();
  return () => clearInterval(timer);
}
