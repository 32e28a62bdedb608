/** What the admin channel answers about uplinks; `rillmq uplink` is in front of it. */
import { AdminError, type AdminHandler, type AdminRequest } from "./net/admin-server.ts";
import type { DeadLetter } from "./uplink/dead-letters.ts";
import type { Uplink } from "./uplink/uplink.ts";

/** Where the uplinks are; asked with every request. */
export interface UplinkSource {
  /** Undefined while the store is being opened. */
  readonly uplinks: readonly Uplink[] | undefined;
  /** Resolves when all that was staged is on disk; rejects when it cannot be. */
  flush(): Promise<void>;
}

/** Entries in one answer at most. */
const LIMIT_MAX = 1_000;
const LIMIT = 100;
/** Bytes of payloads in a list of dead letters that are shown at most; a single one is shown whole. */
const PREVIEW_BYTES_MAX = 256;

/** A dead letter as JSON. */
interface ShownLetter {
  readonly number: number;
  readonly recordId: string;
  readonly lane: string;
  readonly stream: string;
  readonly sequence: number;
  readonly reason: string;
  readonly at: string;
  readonly topic: string;
  readonly qos: number;
  readonly retain: boolean;
  readonly receivedAt: string;
  readonly payloadBytes: number;
  /** Base64; a list shows its beginning. */
  readonly payload: string;
  readonly properties?: unknown;
}

function shown(letter: DeadLetter, bytesMax: number): ShownLetter {
  const { number, origin, message } = letter;
  const { bytes, payloadStart, payloadEnd, properties } = message;
  const payload = bytes.subarray(payloadStart, Math.min(payloadEnd, payloadStart + bytesMax));
  const { correlationData, ...plain } = properties ?? {};
  const correlation =
    correlationData === undefined
      ? {}
      : { correlationData: Buffer.from(correlationData).toString("base64") };
  return {
    number,
    ...origin,
    at: new Date(origin.at).toISOString(),
    topic: message.topic.text,
    qos: message.qos,
    retain: message.retain,
    receivedAt: new Date(message.receivedAt).toISOString(),
    payloadBytes: payloadEnd - payloadStart,
    payload: Buffer.from(payload).toString("base64"),
    ...(properties === undefined ? {} : { properties: { ...plain, ...correlation } }),
  };
}

/** A whole number of at least 1 from a query; undefined: not given. */
function numberOf(text: string | null, what: string): number | undefined {
  if (text === null) return undefined;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new AdminError(400, `${what} must be a whole number from 1`);
}

function pageOf({ query }: AdminRequest): { from: number; limit: number } {
  const limit = numberOf(query.get("limit"), "limit") ?? LIMIT;
  return { from: numberOf(query.get("from"), "from") ?? 1, limit: Math.min(limit, LIMIT_MAX) };
}

/** `from` and `to` of a query, both given: what changes or deletes says what. */
function rangeOf({ query }: AdminRequest): { from: number; to: number } {
  const from = numberOf(query.get("from"), "from");
  const to = numberOf(query.get("to"), "to");
  if (from === undefined || to === undefined || to < from) {
    throw new AdminError(400, "from and to are needed, from not above to");
  }
  return { from, to };
}

/** Handlers for the admin channel. */
export function uplinkRoutes(source: UplinkSource): [string, AdminHandler][] {
  const all = (): readonly Uplink[] => {
    const { uplinks } = source;
    if (uplinks === undefined) throw new AdminError(503, "the store is being opened");
    return uplinks;
  };
  const find = ({ params }: AdminRequest): Uplink => {
    const uplink = all().find(({ name }) => name === params["name"]);
    if (uplink === undefined) throw new AdminError(404, `there is no uplink ${params["name"]}`);
    return uplink;
  };
  const changed = async (answer: unknown): Promise<unknown> => {
    try {
      await source.flush();
    } catch (error) {
      throw new AdminError(503, `the outcome is unknown, the store failed: ${error}`);
    }
    return answer;
  };
  return [
    ["GET /uplinks", () => all().map((uplink) => uplink.status())],
    ["GET /uplinks/:name", (request) => find(request).status()],
    [
      "POST /uplinks/:name/pause",
      (request) => {
        const uplink = find(request);
        uplink.pause();
        return changed({ name: uplink.name, paused: true });
      },
    ],
    [
      "POST /uplinks/:name/resume",
      (request) => {
        const uplink = find(request);
        uplink.resume();
        return changed({ name: uplink.name, paused: false });
      },
    ],
    [
      "POST /uplinks/:name/lanes/:lane/accept-remote",
      (request) => {
        const lane = request.params["lane"] ?? "";
        if (find(request).forgetRemote(lane)) return { accepted: lane };
        throw new AdminError(404, `there is no lane ${lane}`);
      },
    ],
    [
      "GET /uplinks/:name/losses",
      (request) => {
        const { from, limit } = pageOf(request);
        return find(request).losses(from, limit);
      },
    ],
    ...letterRoutes(find, changed),
  ];
}

function letterRoutes(
  find: (request: AdminRequest) => Uplink,
  changed: (answer: unknown) => Promise<unknown>,
): [string, AdminHandler][] {
  return [
    [
      "GET /uplinks/:name/dlq",
      (request) => {
        const { from, limit } = pageOf(request);
        const letters = find(request).letters.list(from, limit);
        return letters.map((letter) => shown(letter, PREVIEW_BYTES_MAX));
      },
    ],
    [
      "GET /uplinks/:name/dlq/:number",
      (request) => {
        const number = numberOf(request.params["number"] ?? "", "the number") ?? 0;
        const letter = find(request).letters.get(number);
        if (letter === undefined) throw new AdminError(404, `there is no dead letter ${number}`);
        return shown(letter, Number.MAX_SAFE_INTEGER);
      },
    ],
    [
      "POST /uplinks/:name/dlq/retry",
      (request) => {
        const { from, to } = rangeOf(request);
        return find(request).retryLetters(from, to);
      },
    ],
    [
      "DELETE /uplinks/:name/dlq",
      (request) => {
        const { from, to } = rangeOf(request);
        return changed({ removed: find(request).removeLetters(from, to) });
      },
    ],
  ];
}
