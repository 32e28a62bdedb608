import { existsSync, lstatSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";

/** Longest path of a unix socket on Linux, in bytes, without the closing zero. */
const PATH_BYTES_MAX = 107;

/** True when somebody listens there. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    // A backlog that is full is somebody, too.
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code === "EAGAIN"));
  });
}

/**
 * Removes what a broker that was killed left behind: a socket at which nobody answers. Anything else stays.
 * @returns why nobody can listen there; undefined: the way is free
 */
export async function clearSocketPath(path: string): Promise<string | undefined> {
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) return `the path is over ${PATH_BYTES_MAX} bytes`;
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return existsSync(dirname(path)) ? undefined : "the folder is missing";
  if (!stat.isSocket()) return "something that is no socket is there";
  if (await isAnswered(path)) return "the socket is in use";
  rmSync(path, { force: true });
  return undefined;
}
