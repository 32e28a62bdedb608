import assert from "node:assert/strict";
import { test } from "node:test";
import { ByteWriter } from "../../../src/lib/byte-writer.ts";
import { encodePacket } from "../../../src/mqtt/encoder.ts";
import { type OutgoingPacket, PacketType, ProtocolVersion } from "../../../src/mqtt/packet.ts";
import {
  PROPERTY_SPECS,
  type Properties,
  type PropertyCarrier,
  propertiesOf,
  WILL,
} from "../../../src/mqtt/properties.ts";
import { oracleDecode, oracleEncode, oracleForm } from "../../support/codec-oracle.ts";
import { decodeAll, decoderFor, snapshot } from "./wire.ts";

const { v5 } = ProtocolVersion;
const T = PacketType;

/** A value for every property. */
const SAMPLES: Required<Properties> = {
  isPayloadUtf8: true,
  messageExpirySeconds: 70_000,
  contentType: "text/é",
  responseTopic: "r/t",
  correlationData: Buffer.from("00ff", "hex"),
  subscriptionIdentifiers: [300],
  sessionExpirySeconds: 0xffff_ffff,
  assignedClientId: "id",
  serverKeepAliveSeconds: 300,
  authenticationMethod: "m",
  authenticationData: Buffer.from("d"),
  requestProblemInformation: false,
  willDelaySeconds: 9,
  requestResponseInformation: true,
  responseInformation: "info",
  serverReference: "other",
  reasonString: "why",
  receiveMaximum: 258,
  topicAliasMaximum: 259,
  topicAlias: 260,
  maximumQos: 1,
  isRetainAvailable: false,
  userProperties: [
    ["k", "v"],
    ["k", "w"],
  ],
  maximumPacketBytes: 65_538,
  isWildcardSubscriptionAvailable: false,
  areSubscriptionIdentifiersAvailable: false,
  isSharedSubscriptionAvailable: false,
};

/** The packet that carries these properties, and who reads it. */
function carrying(
  carrier: PropertyCarrier,
  properties: Properties,
): readonly [OutgoingPacket, "client" | "server"] {
  const connect = {
    type: T.connect,
    protocolVersion: v5,
    cleanStart: true,
    keepAliveSeconds: 1,
    clientId: "c",
    properties: {},
  } as const;
  const entry = {
    topicFilter: "a",
    qos: 1,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 0,
  } as const;
  switch (carrier) {
    case WILL: {
      const will = { topic: "w", payload: Buffer.from("x"), qos: 1, retain: false, properties };
      return [{ ...connect, will: { ...will, qos: 1 } }, "server"];
    }
    case T.connect:
      return [{ ...connect, properties }, "server"];
    case T.connack:
      return [{ type: T.connack, sessionPresent: false, reasonCode: 0, properties }, "client"];
    case T.publish: {
      const flags = { dup: false, qos: 1, retain: false } as const;
      const payload = Buffer.from("x");
      return [{ type: carrier, ...flags, packetId: 5, topic: "t", payload, properties }, "client"];
    }
    case T.subscribe:
      return [{ type: carrier, packetId: 5, subscriptions: [entry], properties }, "server"];
    case T.unsubscribe:
      return [{ type: carrier, packetId: 5, topicFilters: ["a"], properties }, "server"];
    case T.suback:
    case T.unsuback:
      return [{ type: carrier, packetId: 5, reasonCodes: [0], properties }, "client"];
    case T.disconnect: {
      const reader = properties.sessionExpirySeconds === undefined ? "client" : "server";
      return [{ type: carrier, reasonCode: 0x81, properties }, reader];
    }
    case T.auth: {
      const withMethod = { authenticationMethod: "m", ...properties };
      return [{ type: carrier, reasonCode: 0x18, properties: withMethod }, "client"];
    }
    case T.puback:
    case T.pubrec:
    case T.pubrel:
    case T.pubcomp:
      return [{ type: carrier, packetId: 5, reasonCode: 0, properties }, "client"];
    default:
      throw new RangeError(`packet ${carrier} has no properties`);
  }
}

const NAMES = new Map<number, string>(
  Object.entries(T).map(([name, type]) => [type, name.toUpperCase()]),
);
const ALL: readonly PropertyCarrier[] = [WILL, ...Object.values(T)];
const CARRIERS = ALL.filter((carrier) => propertiesOf(carrier).length > 0);

let pairs = 0;
for (const carrier of CARRIERS) {
  for (const { name } of propertiesOf(carrier)) {
    pairs++;
    test(`${name} in ${NAMES.get(carrier) ?? "a will"} is the same to mqtt-packet, both ways.`, () => {
      const needsMethod = name === "authenticationData" ? { authenticationMethod: "m" } : {};
      const [packet, reader] = carrying(carrier, { ...needsMethod, [name]: SAMPLES[name] });
      const writer = new ByteWriter();
      assert.equal(encodePacket(writer, packet, v5), true);
      const bytes = Buffer.from(writer.bytes.subarray(0, writer.end));
      assert.deepEqual(oracleDecode(bytes, v5), oracleForm(packet, v5));
      const theirs = oracleEncode(packet, v5);
      const expected = [snapshot(packet)];
      assert.deepEqual(decodeAll(decoderFor(reader, v5), theirs), expected);
      for (let at = 0; at <= bytes.length; at++) {
        const halves = [bytes.subarray(0, at), bytes.subarray(at)];
        assert.deepEqual(decodeAll(decoderFor(reader, v5), ...halves), expected);
      }
    });
  }
}

test("Every property stands in every packet that may have it.", () => {
  const allowed = PROPERTY_SPECS.reduce(
    (sum, { packets }) => sum + packets.toString(2).replaceAll("0", "").length,
    0,
  );
  assert.equal(pairs, allowed);
});
