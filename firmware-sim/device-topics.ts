/** The topics of the fleets. Request ids and device ids have no `/`. */

/** Where a device's will goes. */
export const statusTopic = (device: string): string => `sim/${device}/status`;
/** Every device's will. */
export const STATUS_FILTER = "sim/+/status";

/** A command to a device. */
export const commandTopic = (device: string, requestId: string): string =>
  `cmd/${device}/${requestId}`;
/** All commands to a device. */
export const commandFilter = (device: string): string => `cmd/${device}/+`;

/** The answer of a device that speaks MQTT 3.1.1, or that was not told a response topic. */
export const replyTopic = (device: string, requestId: string): string =>
  `reply/${device}/${requestId}`;
export const REPLY_FILTER = "reply/+/+";

/** Answers of MQTT 5 devices, told to them as response topic. */
export const responseTopic = (clientId: string): string => `response/${clientId}`;

/** The last two of three levels when the first is `root`; undefined for any other topic. */
export function splitTopic(
  topic: string,
  root: string,
): { readonly device: string; readonly last: string } | undefined {
  const levels = topic.split("/");
  const [first, device, last] = levels;
  if (levels.length !== 3 || first !== root || !device || !last) return undefined;
  return { device, last };
}
