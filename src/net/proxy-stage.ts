import { BlockList, isIPv6, type Socket } from "node:net";
import { PROXY_HEADER_BYTES_MAX, type ProxyHeader, readProxyHeader } from "./proxy-header.ts";

/** An IPv4 address without the prefix that it has on a socket for both. */
export const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, "");

const familyOf = (address: string): "ipv4" | "ipv6" => (isIPv6(address) ? "ipv6" : "ipv4");

/** A network: all addresses that begin with so many bits of this one. */
export interface Network {
  readonly address: string;
  readonly prefix: number;
}

/** Takes the PROXY header off connections that come from trusted proxies. */
export class ProxyStage {
  readonly #trusted = new BlockList();

  /** From these networks every connection has such a header, from others none. */
  constructor(networks: readonly Network[]) {
    for (const { address, prefix } of networks) {
      this.#trusted.addSubnet(address, prefix, familyOf(address));
    }
  }

  /** True: connections of this peer begin with a header. */
  isProxy(socket: Socket): boolean {
    if (socket.remoteAddress === undefined) return false;
    const address = plainAddress(socket.remoteAddress);
    return this.#trusted.check(address, familyOf(address));
  }

  /**
   * Reads the header; what comes behind it is left in the socket. `next` gets undefined for what is no header. The caller has the
   * socket's deadline.
   */
  take(socket: Socket, next: (header: ProxyHeader | undefined) => void): void {
    let seen: Buffer = Buffer.alloc(0);
    const onReadable = (): void => {
      for (let chunk = read(socket); chunk !== undefined; chunk = read(socket)) {
        seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
        const header = readProxyHeader(seen);
        if (header === "incomplete" && seen.length < PROXY_HEADER_BYTES_MAX) continue;
        socket.off("readable", onReadable);
        if (typeof header === "string") {
          next(undefined);
          return;
        }
        if (header.bytes < seen.length) socket.unshift(seen.subarray(header.bytes));
        next(header);
        return;
      }
    };
    socket.on("readable", onReadable);
  }
}

const read = (socket: Socket): Buffer | undefined => (socket.read() as Buffer | null) ?? undefined;
