import { ProtocolVersion } from "../../src/mqtt/packet.ts";

/** Whether the packet is the first of its connection or comes after CONNACK. */
export type Phase = "first" | "connected";

/**
 * What the broker does:
 *
 *     closes    closes the connection; in version 5 DISCONNECT with the reason code comes before
 *     refuses   closes the connection; if CONNACK comes before, it has the reason code
 *     answers   goes on, and the packet that answers has the reason code
 *     waits     nothing: the packet is not complete, and the client goes away in the middle of it
 */
export type Expected =
  | { readonly kind: "closes"; readonly reasonCode: number }
  | { readonly kind: "refuses"; readonly reasonCode: number; readonly isSilent?: boolean }
  | { readonly kind: "answers"; readonly type: number; readonly reasonCode: number }
  | { readonly kind: "waits" };

/** One wrong packet. No two cases have the same clause, packet and fault. */
export interface MalformedCase {
  /** A statement such as MQTT-3.3.1-4, or the section where the standard says it without a number. */
  readonly clause: string;
  readonly packet: string;
  readonly fault: string;
  readonly version: ProtocolVersion;
  readonly phase: Phase;
  readonly bytes: Uint8Array;
  /** The packet as it would be without the fault. */
  readonly base: Uint8Array;
  readonly expected: Expected;
}

/** [clause, fault, bytes, what is expected] */
export type Row = readonly [clause: string, fault: string, bytes: Uint8Array, expected: Expected];

export const { v31, v311, v5 } = ProtocolVersion;

/** The broker closes an accepted connection with this reason code. */
export const closes = (reasonCode: number): Expected => ({ kind: "closes", reasonCode });
/** The broker refuses a first packet; it may do so without a word. */
export const refuses = (reasonCode: number): Expected => ({ kind: "refuses", reasonCode });
/** It refuses with a packet that says why. */
export const refusesLoudly = (reasonCode: number): Expected => ({
  kind: "refuses",
  reasonCode,
  isSilent: false,
});
/** It answers and the connection goes on. */
export const answers = (type: number, reasonCode: number): Expected => ({
  kind: "answers",
  type,
  reasonCode,
});
/** The packet never becomes complete. */
export const WAITS: Expected = { kind: "waits" };

/** 0x81 and 0x82: by far the most frequent answers. */
export const MALFORMED = 0x81;
export const PROTOCOL = 0x82;

/** Cases of one packet in one version. */
export function casesOf(
  what: { readonly packet: string; readonly version: ProtocolVersion; readonly base: Uint8Array },
  rows: readonly Row[],
): MalformedCase[] {
  const phase: Phase = what.packet === "CONNECT" || what.packet === "will" ? "first" : "connected";
  return rows.map(([clause, fault, bytes, expected]) => ({
    ...what,
    clause,
    fault,
    phase,
    bytes,
    expected,
  }));
}

/** As a sentence's subject. */
export const nameOf = ({ packet, fault, version, clause }: MalformedCase): string =>
  `${packet} in ${version === 5 ? "5.0" : version === 4 ? "3.1.1" : "3.1"}: ${fault} [${clause}]`;
