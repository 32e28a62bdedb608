/**
 * How a connection ended. `accident`: the device broke it, so its will is due. `clean`: the device said goodbye, so there must be no will.
 * `unknown`: somebody else ended it; both are right.
 */
export type ConnectionEnd = "accident" | "clean" | "unknown";

/** A moment of the comparison; counts of connections and wills. */
export interface WillCounts {
  /** Connections broken by their device. */
  readonly accidents: number;
  /** Connections left in good order. */
  readonly cleanLeaves: number;
  /** Connections with a will that somebody else ended. */
  readonly brokenByOthers: number;
  /** Accidents whose will the observer saw. */
  readonly seen: number;
  /** Accidents whose will has not been seen. */
  readonly missing: number;
  /** Wills of connections that were left in good order. */
  readonly unjustified: number;
  /** Further arrivals of a will that had been seen. */
  readonly repeated: number;
  /** Wills of connections that nobody opened. */
  readonly unknown: number;
}

interface Connection {
  end: ConnectionEnd | undefined;
  arrivals: number;
}

/**
 * Which connections of the fleet ended how, and which wills were seen. It holds one small object per confirmed connection and one number
 * per device, so what the fleet connects is its bound.
 */
export class WillLedger {
  readonly #connections = new Map<string, Connection>();
  readonly #lastByDevice = new Map<string, number>();
  #unknown = 0;

  /** A device is about to send CONNECT with this connection's will. The numbers of a device grow from 1. */
  opened(device: string, connection: number): void {
    this.#lastByDevice.set(device, connection);
  }

  /** Its CONNACK came: the broker has the will. */
  confirmed(device: string, connection: number): void {
    this.#connections.set(`${device}#${connection}`, { end: undefined, arrivals: 0 });
  }

  /** A confirmed connection ended; for others this changes nothing. */
  ended(device: string, connection: number, end: ConnectionEnd): void {
    const one = this.#connections.get(`${device}#${connection}`);
    if (one !== undefined) one.end = end;
  }

  /** The observer received this connection's will. That of a connection which was never confirmed is nobody's mistake. */
  saw(device: string, connection: number): void {
    const one = this.#connections.get(`${device}#${connection}`);
    if (one !== undefined) one.arrivals += 1;
    else if (!(connection >= 1 && connection <= (this.#lastByDevice.get(device) ?? 0))) {
      this.#unknown += 1;
    }
  }

  counts(): WillCounts {
    const ends = { accident: 0, clean: 0, unknown: 0 };
    let seen = 0;
    let unjustified = 0;
    let repeated = 0;
    for (const { end, arrivals } of this.#connections.values()) {
      if (end !== undefined) ends[end] += 1;
      if (arrivals > 1) repeated += arrivals - 1;
      if (arrivals === 0) continue;
      if (end === "accident") seen += 1;
      if (end === "clean") unjustified += 1;
    }
    return {
      accidents: ends.accident,
      cleanLeaves: ends.clean,
      brokenByOthers: ends.unknown,
      seen,
      missing: ends.accident - seen,
      unjustified,
      repeated,
      unknown: this.#unknown,
    };
  }
}
