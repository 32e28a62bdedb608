/** Headers of the PROXY protocol, as a proxy writes them. */

const SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");

/** Version 1. */
export const proxyV1 = (rest: string): Buffer => Buffer.from(`PROXY ${rest}\r\n`, "latin1");

/** Version 2 with whatever these are. */
export function proxyV2(versionAndCommand: number, family: number, body: Uint8Array): Buffer {
  const fixed = Buffer.alloc(16);
  SIGNATURE.copy(fixed);
  fixed.writeUInt8(versionAndCommand, 12);
  fixed.writeUInt8(family, 13);
  fixed.writeUInt16BE(body.length, 14);
  return Buffer.concat([fixed, body]);
}

/** Version 2 for an IPv4 client, with extensions. */
export const proxyTcp4 = (address: readonly number[], extensions = Buffer.alloc(0)): Buffer =>
  proxyV2(
    0x21,
    0x11,
    Buffer.concat([Buffer.from([...address, 10, 0, 0, 1, 1, 2, 7, 91]), extensions]),
  );
