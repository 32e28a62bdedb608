/**
 * Where a message goes when it goes to several places: `a;event:b;stream:c;queue:d;route:key`. What has no kind in front has that of its
 * sender. `events:`, `events_store:`, `queues:` and `routes:` mean the same. A route stands for the destinations that the configuration
 * gives it; it names no other route.
 */
import { isName } from "./names.ts";
import { isTopicName } from "./topic.ts";

/** Destinations of one message, those of its routes among them. */
const DESTINATIONS_MAX = 32;

export type DestinationKind = "event" | "stream" | "queue";

export interface Destination {
  readonly kind: DestinationKind;
  /** A topic, or the name of a stream or queue. */
  readonly name: string;
}

/** Destinations, each once; or what is wrong with the text. */
export type ParsedDestinations =
  | { readonly destinations: readonly Destination[] }
  | { readonly mistake: string };

/** Destinations of routes by key. */
export interface RouteTable {
  get(key: string): readonly Destination[] | undefined;
}

const KINDS: ReadonlyMap<string, DestinationKind | "route"> = new Map([
  ["event", "event"],
  ["events", "event"],
  ["stream", "stream"],
  ["events_store", "stream"],
  ["queue", "queue"],
  ["queues", "queue"],
  ["route", "route"],
  ["routes", "route"],
]);

export const NO_ROUTES: RouteTable = new Map<string, readonly Destination[]>();

/** How a destination is written. */
export const destinationText = ({ kind, name }: Destination): string => `${kind}:${name}`;

/** `own`: the kind of what names none; undefined: each must. */
export function parseDestinations(
  text: string,
  own: DestinationKind | undefined,
  routes: RouteTable,
): ParsedDestinations {
  const found = new Map<string, Destination>();
  for (const part of text.split(";")) {
    const parsed = parsePart(part, own, routes);
    if ("mistake" in parsed) return parsed;
    for (const destination of parsed.destinations) {
      found.set(destinationText(destination), destination);
    }
    if (found.size > DESTINATIONS_MAX) {
      return { mistake: `more than ${DESTINATIONS_MAX} destinations` };
    }
  }
  return { destinations: [...found.values()] };
}

function parsePart(
  part: string,
  own: DestinationKind | undefined,
  routes: RouteTable,
): ParsedDestinations {
  const colon = part.indexOf(":");
  const prefix = part.slice(0, Math.max(colon, 0));
  const name = part.slice(colon + 1);
  const kind = colon < 0 ? own : KINDS.get(prefix);
  if (part === "") return { mistake: "an empty destination" };
  if (kind === undefined) {
    const what = colon < 0 ? `${part}: no kind` : `${prefix}: no kind of destination`;
    return { mistake: `${what}; expected event:, stream:, queue: or route: in front` };
  }
  if (kind === "route") {
    const destinations = routes.get(name);
    return destinations === undefined
      ? { mistake: `route:${name}: no such route` }
      : { destinations };
  }
  const isFine = kind === "event" ? isTopicName(name) && !name.startsWith("$") : isName(name);
  if (isFine) return { destinations: [{ kind, name }] };
  const expected = kind === "event" ? "a topic without wildcards" : `the name of a ${kind}`;
  return { mistake: `${kind}:${name}: expected ${expected}` };
}
