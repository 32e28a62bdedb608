import { aedes } from "../peers/aedes.ts";
import { appendOnlyFile, forwarder } from "../peers/forwarder.ts";
import { mosquitto, mosquittoPersistent } from "../peers/mosquitto.ts";
import { nats } from "../peers/nats.ts";
import type { Peer } from "../peers/peer.ts";
import { rillmq } from "../peers/rillmq.ts";
import { rillmqMemory } from "../peers/rillmq-memory.ts";
import type { PeerName } from "./suite-scenario.ts";

/** All brokers and references, RillMQ first: ratios are RillMQ's to each of the others. */
export const SUITE_PEERS: readonly (Peer & { readonly name: PeerName })[] = [
  rillmq,
  rillmqMemory,
  mosquitto,
  mosquittoPersistent,
  aedes,
  nats,
  forwarder,
  appendOnlyFile,
].map((peer) => ({ ...peer, name: peer.name as PeerName }));
