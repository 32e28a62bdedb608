/** Payloads that say which number they are, of 4 to some thousand bytes, large ones now and then. */
export function numberedPayload(number: number): Uint8Array {
  const length = number % 997 === 0 ? 90_000 : 4 + ((number * 7_919) % 1_200);
  const payload = new Uint8Array(length);
  new DataView(payload.buffer).setUint32(0, number);
  for (let i = 4; i < length; i++) payload[i] = (number * 31 + i) & 0xff;
  return payload;
}
