import type { SinkRecord } from "./sink-check.ts";

interface Fields {
  readonly device?: unknown;
  readonly seq?: unknown;
}

function fieldsOf(payload: Uint8Array): Fields {
  try {
    const decoded: unknown = JSON.parse(Buffer.from(payload).toString("utf8"));
    return typeof decoded === "object" && decoded !== null ? decoded : {};
  } catch {
    return {};
  }
}

/**
 * Reads a message of the fleet back from the topic `sim/{deviceId}/{kind}` (whatever stands before it) and its
 * payload. What does not fit becomes a record of an unknown device with seq 0, so that it is counted and not overlooked.
 */
export function decodeSinkRecord(
  topic: string,
  payload: Uint8Array,
  recordId: string | undefined,
): SinkRecord {
  const levels = topic.split("/");
  const [root, device, kind] = levels.slice(-3);
  const fields = fieldsOf(payload);
  if (root === "sim" && device !== undefined && kind !== undefined && fields.device === device) {
    if (typeof fields.seq === "number" && Number.isSafeInteger(fields.seq)) {
      return { recordId, device, kind, seq: fields.seq };
    }
  }
  return { recordId, device: `unreadable ${topic}`, kind: "", seq: 0 };
}
