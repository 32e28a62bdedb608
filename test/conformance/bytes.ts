/** Packets written by hand: hexadecimal digits, with text in quotes (see `wire`), and lengths put in. */
import { wire } from "../unit/mqtt/wire.ts";

const hexOf = (parts: readonly string[]): string => wire(parts.join(" ")).toString("hex");

/** As a variable byte integer. */
function variableInteger(value: number): string {
  let hex = "";
  for (let rest = value; ; ) {
    const byte = rest % 128;
    rest = Math.floor(rest / 128);
    hex += (rest > 0 ? byte + 128 : byte).toString(16).padStart(2, "0");
    if (rest === 0) return hex;
  }
}

/** A packet: type and flags, then Remaining Length, then these parts. */
export function framed(first: string, ...parts: readonly string[]): string {
  const hex = hexOf(parts);
  return `${first} ${variableInteger(hex.length / 2)} ${hex}`;
}

/** A string or binary data: its length, then these parts. */
export function field(...parts: readonly string[]): string {
  const hex = hexOf(parts);
  return `${(hex.length / 2).toString(16).padStart(4, "0")} ${hex}`;
}

/** Property Length, then these parts. */
export function properties(...parts: readonly string[]): string {
  const hex = hexOf(parts);
  return `${variableInteger(hex.length / 2)} ${hex}`;
}

/** CONNECT of version 5 with these flags, no keep alive, and behind it these parts: properties, then the payload. */
export const connectOf = (flags: string, ...parts: readonly string[]): string =>
  framed("10", field("'MQTT'"), "05", flags, "0000", ...parts);
