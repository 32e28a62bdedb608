import type { IPublishPacket } from "mqtt";
import { Attendant } from "./attendant.ts";
import type { ClientIdentity } from "./client-options.ts";
import { STATUS_FILTER, statusTopic } from "./device-topics.ts";
import type { WillLedger } from "./will-ledger.ts";

interface Fields {
  readonly device?: unknown;
  readonly run?: unknown;
  readonly connection?: unknown;
}

function fieldsOf(payload: IPublishPacket["payload"]): Fields {
  try {
    const decoded: unknown = JSON.parse(payload.toString());
    return typeof decoded === "object" && decoded !== null ? decoded : {};
  } catch {
    return {};
  }
}

/** Listens to `sim/+/status` and notes the wills of this run's devices; those of other fleets are none of its business. */
export function willObserver(identity: ClientIdentity, run: string, wills: WillLedger): Attendant {
  return new Attendant({
    ...identity,
    filters: [STATUS_FILTER],
    barrierTopic: statusTopic(identity.clientId),
    onMessage: (topic, { payload }) => {
      const { device, connection, ...fields } = fieldsOf(payload);
      if (fields.run !== run || typeof device !== "string" || topic !== statusTopic(device)) return;
      if (typeof connection === "number") wills.saw(device, connection);
    },
  });
}
