import type { Instant } from "../lib/clock.ts";
import { ProtocolVersion } from "./packet.ts";

/** What an operator wants to know of one accepted client. */
export interface ConnectionView {
  readonly address: string;
  readonly certificateSubject?: string;
  /** Such as `3.1.1`. */
  readonly protocol: string;
  /** In force; 0: none. */
  readonly keepAliveSeconds: number;
  /** Of the client. */
  readonly receiveMaximum: number;
  readonly connectedAt: Instant;
}

/** As people write them. */
export const PROTOCOL_NAMES: Readonly<Record<ProtocolVersion, string>> = {
  [ProtocolVersion.v31]: "3.1",
  [ProtocolVersion.v311]: "3.1.1",
  [ProtocolVersion.v5]: "5",
};
