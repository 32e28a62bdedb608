import { jetstream } from "@nats-io/jetstream";
import type { NatsCluster } from "../../firmware-sim/central/nats-cluster.ts";

/** One message of a JetStream stream, as an independent client reads it. */
export interface StoredMessage {
  readonly subject: string;
  readonly id: string;
  readonly topic: string;
  readonly isBarrier: boolean;
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly payload: Uint8Array;
}

/** Everything in a stream, in order. */
export async function readStream(cluster: NatsCluster, name: string): Promise<StoredMessage[]> {
  const client = await cluster.connect();
  try {
    const js = jetstream(client);
    const { state } = await (await js.streams.get(name)).info();
    const found: StoredMessage[] = [];
    if (state.messages === 0) return found;
    const consumer = await js.consumers.get(name);
    const messages = await consumer.consume({ max_messages: 2_000 });
    for await (const { subject, headers, data, seq } of messages) {
      found.push({
        subject,
        id: headers?.get("Nats-Msg-Id") ?? "",
        topic: headers?.get("Rill-Topic") ?? "",
        isBarrier: headers?.has("Rill-Barrier") ?? false,
        headers: new Map(headers === undefined ? [] : [...headers]),
        payload: data,
      });
      if (seq >= state.last_seq) break;
    }
    messages.stop();
    return found;
  } finally {
    await client.close();
  }
}
