import { connect } from "node:net";

/** Longest that the other side may take to end a connection that has ended on our side. */
const END_MS_MAX = 15_000;

/** Where to connect to: a port of loopback, or a unix socket. */
export type Address = { readonly port: number } | { readonly path: string };

/**
 * Sends chunks, each in a turn of its own, ends its side, and resolves with what came once the other side has ended too.
 * @throws Error when it does not
 */
export function throwAt(address: Address, chunks: readonly Uint8Array[]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const received: Buffer[] = [];
    const socket = connect({ host: "127.0.0.1", ...address });
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error("the connection is not ended"));
    }, END_MS_MAX);
    const sendFrom = (index: number): void => {
      const chunk = chunks[index];
      if (chunk === undefined || socket.destroyed) socket.end();
      else socket.write(chunk, () => setImmediate(sendFrom, index + 1));
    };
    socket.once("connect", () => sendFrom(0));
    socket.on("data", (bytes) => received.push(bytes));
    socket.on("error", () => undefined);
    socket.once("close", () => {
      clearTimeout(timer);
      resolve(Buffer.concat(received));
    });
  });
}
