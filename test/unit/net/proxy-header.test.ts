import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PROXY_HEADER_BYTES_MAX, readProxyHeader } from "../../../src/net/proxy-header.ts";
import { proxyTcp4, proxyV1, proxyV2 } from "../../support/proxy-headers.ts";

const V6 = Buffer.from(
  "20010db8000000000000000000000007fd00000000000000000000000000000104d2075b",
  "hex",
);
const LONG_V6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";

const GOOD: readonly (readonly [what: string, bytes: Buffer, address: string | undefined])[] = [
  ["1, IPv4", proxyV1("TCP4 192.0.2.7 10.0.0.1 49152 1883"), "192.0.2.7"],
  ["1, IPv6", proxyV1("TCP6 2001:db8:0::7 fd00::1 0 65535"), "2001:db8::7"],
  ["1, longest", proxyV1(`TCP6 ${LONG_V6} ${LONG_V6} 65535 65535`), LONG_V6],
  ["1, unknown", proxyV1("UNKNOWN"), undefined],
  ["1, unknown with more", proxyV1(`UNKNOWN ${LONG_V6} ${LONG_V6} 65535 65535`), undefined],
  ["2, IPv4", proxyTcp4([192, 0, 2, 7]), "192.0.2.7"],
  ["2, IPv4 with extensions", proxyTcp4([192, 0, 2, 7], Buffer.alloc(4_084, 3)), "192.0.2.7"],
  ["2, IPv6", proxyV2(0x21, 0x21, V6), "2001:db8::7"],
  ["2, unix", proxyV2(0x21, 0x31, Buffer.alloc(216, 65)), undefined],
  ["2, unspecified", proxyV2(0x21, 0x00, Buffer.alloc(0)), undefined],
  ["2, local", proxyV2(0x20, 0x00, Buffer.alloc(0)), undefined],
  ["2, local with addresses", proxyV2(0x20, 0x11, Buffer.alloc(12)), undefined],
  ["2, local with anything", proxyV2(0x20, 0x77, Buffer.alloc(3)), undefined],
];

for (const [what, bytes, address] of GOOD) {
  test(`A header of version ${what} is read, and is incomplete at every byte before its end.`, () => {
    for (let end = 0; end < bytes.length; end++) {
      assert.equal(readProxyHeader(bytes.subarray(0, end)), "incomplete", `${end} bytes`);
    }
    const expected = { bytes: bytes.length, address };
    assert.deepEqual(readProxyHeader(bytes), expected);
    assert.deepEqual(readProxyHeader(Buffer.concat([bytes, Buffer.from([0x10, 0])])), expected);
    assert.ok(bytes.length <= PROXY_HEADER_BYTES_MAX);
  });
}

const BAD: readonly (readonly [what: string, bytes: Buffer])[] = [
  ["MQTT", Buffer.from([0x10])],
  ["TLS", Buffer.from([0x16, 3, 1])],
  ["HTTP", Buffer.from("GET / HTTP/1.1\r\n")],
  ["HTTP that begins alike", Buffer.from("POST / HTTP/1.1\r\n")],
  ["1 in small letters", Buffer.from("proxy TCP4 192.0.2.7 10.0.0.1 1 2\r\n")],
  ["1 of another protocol", proxyV1("UDP4 192.0.2.7 10.0.0.1 1 2")],
  ["1 without ports", proxyV1("TCP4 192.0.2.7 10.0.0.1")],
  ["1 with one port", proxyV1("TCP4 192.0.2.7 10.0.0.1 1")],
  ["1 with more", proxyV1("TCP4 192.0.2.7 10.0.0.1 1 2 3")],
  ["1 with two spaces", proxyV1("TCP4  192.0.2.7 10.0.0.1 1 2")],
  ["1 with a space at the end", proxyV1("TCP4 192.0.2.7 10.0.0.1 1 2 ")],
  ["1 with a tabulator", proxyV1("TCP4\t192.0.2.7 10.0.0.1 1 2")],
  ["1 with a port too high", proxyV1("TCP4 192.0.2.7 10.0.0.1 65536 2")],
  ["1 with a leading zero", proxyV1("TCP4 192.0.2.7 10.0.0.1 01 2")],
  ["1 with a sign", proxyV1("TCP4 192.0.2.7 10.0.0.1 +1 2")],
  ["1 with a short address", proxyV1("TCP4 192.0.2 10.0.0.1 1 2")],
  ["1 with octal digits", proxyV1("TCP4 192.0.2.007 10.0.0.1 1 2")],
  ["1 with the other family", proxyV1("TCP4 2001:db8::7 fd00::1 1 2")],
  ["1 with mixed families", proxyV1("TCP6 2001:db8::7 10.0.0.1 1 2")],
  ["1 with an interface", proxyV1("TCP6 fe80::1%eth0 fd00::1 1 2")],
  ["1 that runs on", proxyV1("UNKNOWNS")],
  ["1 with a lone line feed", Buffer.from("PROXY UNKNOWN\n\r\n")],
  ["1 with a lone return", Buffer.from("PROXY UNKNOWN\r\r\n")],
  ["1 with NUL", Buffer.from("PROXY UNKNOWN \0\r\n")],
  ["1 of 108 bytes", proxyV1(`UNKNOWN ${"x".repeat(92)}`)],
  ["1 without end", Buffer.from(`PROXY UNKNOWN ${"x".repeat(93)}`)],
  ["2 of version 1", proxyV2(0x11, 0x11, Buffer.alloc(12))],
  ["2 of version 3", proxyV2(0x31, 0x11, Buffer.alloc(12))],
  ["2 with another command", proxyV2(0x22, 0x11, Buffer.alloc(12))],
  ["2 of datagrams", proxyV2(0x21, 0x12, Buffer.alloc(12))],
  ["2 of another family", proxyV2(0x21, 0x41, Buffer.alloc(300))],
  ["2 too short for IPv4", proxyV2(0x21, 0x11, Buffer.alloc(11))],
  ["2 too short for IPv6", proxyV2(0x21, 0x21, Buffer.alloc(35))],
  ["2 too short for unix", proxyV2(0x21, 0x31, Buffer.alloc(215))],
  ["2 too long", proxyV2(0x21, 0x11, Buffer.alloc(4_097))],
  ["2 local too long", proxyV2(0x20, 0x00, Buffer.alloc(65_535))],
  ["2 with a broken signature", Buffer.from("\r\n\r\n\0\r\nQUIX", "latin1")],
];

for (const [what, bytes] of BAD) {
  test(`What is no header is refused: ${what}.`, () => {
    assert.equal(readProxyHeader(bytes), "malformed");
    // Once it is wrong, nothing that follows makes it right.
    assert.equal(readProxyHeader(Buffer.concat([bytes, Buffer.alloc(200)])), "malformed");
  });
}

const headers = fc.constantFrom(...GOOD.map(([, bytes]) => bytes));

test("Whatever comes, it is known after a bounded number of bytes what it is, and more bytes change nothing.", () => {
  const mutated = fc
    .tuple(headers, fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 3 }), fc.uint8Array())
    .map(([bytes, changes, rest]) => {
      const copy = Buffer.concat([bytes, rest]);
      for (const [at, value] of changes) copy[at % copy.length] = value;
      return copy;
    });
  const anything = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
  const property = fc.property(fc.oneof(mutated, anything), (bytes) => {
    let known: unknown = "incomplete";
    for (let end = 0; end <= bytes.length; end++) {
      const now = readProxyHeader(bytes.subarray(0, end));
      if (known !== "incomplete") assert.deepEqual(now, known);
      else if (typeof now === "object") assert.equal(now.bytes, end);
      known = now;
    }
    if (known === "incomplete") assert.ok(bytes.length < PROXY_HEADER_BYTES_MAX);
  });
  fc.assert(property, { numRuns: 2_000 });
});

test("Any IPv4 and IPv6 address comes through in both versions.", () => {
  const v4 = fc.ipV4();
  fc.assert(
    fc.property(v4, (address) => {
      const parts = address.split(".").map(Number);
      const inV1 = readProxyHeader(proxyV1(`TCP4 ${address} 10.0.0.1 1 2`));
      const inV2 = readProxyHeader(proxyTcp4(parts));
      for (const header of [inV1, inV2]) {
        assert.ok(typeof header === "object");
        assert.equal(header.address, address);
      }
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      const inV2 = readProxyHeader(proxyV2(0x21, 0x21, Buffer.concat([bytes, Buffer.alloc(20)])));
      assert.ok(typeof inV2 === "object");
      const inV1 = readProxyHeader(proxyV1(`TCP6 ${inV2.address} ::1 1 2`));
      assert.ok(typeof inV1 === "object");
      assert.equal(inV1.address, inV2.address);
    }),
  );
});
