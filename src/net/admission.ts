/**
 * Who may stay before the protocol knows anything: bounds per address, and on connections whose CONNECT has not been accepted. Of those the
 * oldest goes when there are too many: idle connections cannot keep out a client that means it.
 */
import { isIPv6, type Socket } from "node:net";
import type { NetworkCounters } from "./network-counters.ts";
import type { Served } from "./serve-stream.ts";

export interface AdmissionLimits {
  /** Most connections of one IPv4 address or one IPv6 network of 64 bits. */
  readonly perAddressMax: number;
  /** Most connections whose CONNECT has not been accepted. */
  readonly unauthenticatedMax: number;
}

/** One network connection, from accept to its end. */
export class Ticket {
  readonly socket: Socket;
  /** What it is counted under; undefined for unix sockets, and for proxies until they say whom they forward. */
  addressKey: string | undefined;
  /** Set once TLS and WebSocket are through. */
  connection: Served | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  get isAuthenticated(): boolean {
    return this.connection?.session !== undefined;
  }
}

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #counters: NetworkCounters;
  readonly #perAddress = new Map<string, number>();
  /** Oldest first. Some may have been authenticated since: that is looked up when it is full. */
  readonly #waiting = new Set<Ticket>();

  constructor(limits: AdmissionLimits, counters: NetworkCounters) {
    this.#limits = limits;
    this.#counters = counters;
  }

  /** Admits a new connection of this address (undefined: of none) until `release`; undefined: refused and counted. */
  admit(socket: Socket, address: string | undefined): Ticket | undefined {
    const ticket = new Ticket(socket);
    if (address !== undefined && !this.count(ticket, address)) return undefined;
    if (this.#waiting.size >= this.#limits.unauthenticatedMax) this.#makeRoom();
    this.#waiting.add(ticket);
    return ticket;
  }

  /** The connection turns out to be of this address; false: that has too many, which is counted. Once per ticket. */
  count(ticket: Ticket, address: string): boolean {
    const key = keyOf(address);
    const count = this.#perAddress.get(key) ?? 0;
    if (count >= this.#limits.perAddressMax) {
      this.#counters.tooManyFromAddress++;
      return false;
    }
    this.#perAddress.set(key, count + 1);
    ticket.addressKey = key;
    return true;
  }

  /** The connection is gone. */
  release(ticket: Ticket): void {
    this.#waiting.delete(ticket);
    const { addressKey } = ticket;
    if (addressKey === undefined) return;
    const count = (this.#perAddress.get(addressKey) ?? 0) - 1;
    if (count > 0) this.#perAddress.set(addressKey, count);
    else this.#perAddress.delete(addressKey);
  }

  #makeRoom(): void {
    for (const ticket of this.#waiting) if (ticket.isAuthenticated) this.#waiting.delete(ticket);
    if (this.#waiting.size < this.#limits.unauthenticatedMax) return;
    const [oldest] = this.#waiting;
    if (oldest === undefined) return;
    this.#waiting.delete(oldest);
    this.#counters.unauthenticatedShed++;
    oldest.socket.destroy();
  }
}

/** An IPv4 address, also when it comes as IPv6; of other IPv6 addresses the first 64 bits, which one host may have to itself. */
function keyOf(address: string): string {
  if (!isIPv6(address)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped?.[1] !== undefined) return mapped[1];
  const [head = "", tail] = (address.split("%")[0] ?? "").split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = Array<string>(tail === undefined ? 0 : 8 - before.length - after.length).fill("0");
  return [...before, ...zeros, ...after].slice(0, 4).join(":");
}
