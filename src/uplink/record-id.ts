/**
 * The identity of a record over all edges, openings of their stores and time:
 *
 *     edgeId / epoch / stream / sequence        plant-7/9f86d081884c7d65/telemetry/42
 *
 * It is fixed when the record is appended. The epoch is drawn at each opening of the store, so that an edge
 * that was restored from an image, or cloned, never gives an id again that was given before.
 */

const EPOCH_LENGTH = 16;

/** The id of one record. */
export function recordId(edgeId: string, epoch: string, stream: string, sequence: number): string {
  return `${edgeId}/${epoch}/${stream}/${sequence}`;
}

/**
 * Epoch and sequence of an id of this edge and stream; undefined for any other text. Reads by position, so
 * that slashes in edgeId or stream do no harm.
 */
export function decodeRecordId(
  id: string,
  edgeId: string,
  stream: string,
): { readonly epoch: string; readonly sequence: number } | undefined {
  const epochAt = edgeId.length + 1;
  const streamAt = epochAt + EPOCH_LENGTH + 1;
  const sequenceAt = streamAt + stream.length + 1;
  if (!id.startsWith(`${edgeId}/`)) return undefined;
  const epoch = id.slice(epochAt, streamAt - 1);
  if (!/^[0-9a-f]{16}$/.test(epoch)) return undefined;
  if (id.slice(streamAt - 1, sequenceAt) !== `/${stream}/`) return undefined;
  const digits = id.slice(sequenceAt);
  if (!/^[1-9][0-9]{0,15}$/.test(digits)) return undefined;
  return { epoch, sequence: Number(digits) };
}
