import assert from "node:assert/strict";
import { Socket } from "node:net";
import { test } from "node:test";
import type { MqttConnection } from "../../../src/mqtt/connection.ts";
import { Admission, type Ticket } from "../../../src/net/admission.ts";
import { NetworkCounters } from "../../../src/net/network-counters.ts";

function socketFrom(address: string | undefined): Socket {
  const socket = new Socket();
  Object.defineProperty(socket, "remoteAddress", { value: address });
  return socket;
}

function admissionOf(limits: { perAddressMax?: number; unauthenticatedMax?: number }) {
  const counters = new NetworkCounters();
  const all = { perAddressMax: 1_000, unauthenticatedMax: 1_000, ...limits };
  return { counters, admission: new Admission(all, counters) };
}

const admit = (admission: Admission, address: string | undefined): Ticket | undefined =>
  admission.admit(socketFrom(address), address);

function authenticate(ticket: Ticket | undefined): void {
  assert.ok(ticket);
  ticket.connection = { session: {} } as MqttConnection;
}

test("an address is counted in all its forms, IPv6 by its first 64 bits", () => {
  const groups = [
    ["192.0.2.7", "::ffff:192.0.2.7", "::FFFF:192.0.2.7"],
    ["2001:db8:0:1::5", "2001:db8::1:ffff:0:0:1", "2001:db8:0:1:a:b:c:d%eth0"],
    ["2001:db8:0:2::5"],
    ["::1", "::2"],
  ];
  const { admission, counters } = admissionOf({ perAddressMax: 1 });
  let refused = 0;
  for (const group of groups) {
    assert.ok(admit(admission, group[0]), group[0]);
    for (const address of group.slice(1)) {
      assert.equal(admit(admission, address), undefined, address);
      assert.equal(counters.tooManyFromAddress, ++refused);
    }
  }
});

test("what is released makes room, and unix sockets are not counted by address", () => {
  const { admission } = admissionOf({ perAddressMax: 1 });
  const first = admit(admission, "192.0.2.7");
  assert.ok(first);
  admission.release(first);
  assert.ok(admit(admission, "192.0.2.7"));
  for (let i = 0; i < 5; i++) assert.ok(admit(admission, undefined));
});

test("the oldest that waits is shed, and who was authenticated never", () => {
  const { admission, counters } = admissionOf({ unauthenticatedMax: 3 });
  const sockets = Array.from({ length: 6 }, () => socketFrom("192.0.2.7"));
  const tickets = sockets.slice(0, 4).map((socket, i) => {
    const ticket = admission.admit(socket, undefined);
    if (i === 0 || i === 2) authenticate(ticket);
    return ticket;
  });
  assert.equal(tickets.length, 4);
  assert.equal(counters.unauthenticatedShed, 0);
  for (const socket of sockets.slice(4)) admission.admit(socket, undefined);
  // Waiting were the second and fourth, then two more for three places.
  assert.deepEqual(
    sockets.map((socket) => socket.destroyed),
    [false, true, false, false, false, false],
  );
  assert.equal(counters.unauthenticatedShed, 1);
});

test("behind a proxy a connection counts once its address is known, and is released under it", () => {
  const { admission, counters } = admissionOf({ perAddressMax: 1 });
  const proxied = [1, 2, 3].map(() => admit(admission, undefined));
  const [first, second, third] = proxied;
  assert.ok(first && second && third);
  assert.equal(admission.count(first, "192.0.2.7"), true);
  assert.equal(admission.count(second, "::ffff:192.0.2.7"), false);
  assert.equal(admission.count(third, "192.0.2.8"), true);
  assert.equal(counters.tooManyFromAddress, 1);
  // It has not been counted, so its release frees nothing.
  admission.release(second);
  assert.equal(admit(admission, "192.0.2.7"), undefined);
  admission.release(first);
  assert.ok(admit(admission, "192.0.2.7"));
});
