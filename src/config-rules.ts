/** Rules between settings. They read what was given as it was given, so that a mistake elsewhere hides none of theirs. */
import { z } from "zod";
import { type ListenerEndpoint, listenerEndpoint } from "./config-address.ts";
import type { SettingPath } from "./config-environment.ts";
import { mqttSchema } from "./config-mqtt-schema.ts";
import { patternRules } from "./config-pattern-rules.ts";
import { type BrokenRule, list, repeated, text } from "./config-rule.ts";
import { storeSchema } from "./config-schema.ts";
import { uplinkRules } from "./config-uplink-rules.ts";
import { allowsAnonymous } from "./listener-access.ts";

const tlsOutline = z
  .object({ ca: z.unknown().optional(), requestClientCert: z.boolean().catch(false) })
  .optional()
  .catch(undefined);
type TlsOutline = z.output<typeof tlsOutline>;

/** What the rules need, and nothing that could fail. */
const outlineSchema = z
  .object({
    allowAnonymous: z.boolean().catch(false),
    access: z.object({ usersFile: z.unknown().optional() }).catch({}),
    tls: tlsOutline,
    listeners: list(
      z
        .object({
          url: text,
          allowAnonymous: z.boolean().optional().catch(undefined),
          tls: tlsOutline,
          origins: z.unknown().optional(),
          protocols: z.unknown().optional(),
          mode: z.unknown().optional(),
          proxyProtocol: z.unknown().optional(),
        })
        .catch({ url: undefined, allowAnonymous: undefined, tls: undefined }),
    ),
    streams: list(
      z.object({ name: text, filters: list(text) }).catch({ name: undefined, filters: [] }),
    ),
  })
  .catch({
    allowAnonymous: false,
    access: {},
    tls: undefined,
    listeners: [],
    streams: [],
  });

type Outline = z.output<typeof outlineSchema>;

type ListenerOutline = Outline["listeners"][number];

function listenerRules(outline: Outline): BrokenRule[] {
  const broken: BrokenRule[] = [];
  const addresses = outline.listeners.map((listener, index) => {
    const endpoint = listener.url === undefined ? undefined : listenerEndpoint(listener.url);
    if (endpoint === undefined || "reason" in endpoint) return undefined;
    const path = ["listeners", index] as const;
    broken.push(...accessRules(path, listener, outline));
    broken.push(...kindRules(path, listener, endpoint, outline.tls !== undefined));
    if (endpoint.kind === "unix") return endpoint.path;
    return endpoint.port === 0 ? undefined : `${endpoint.host}:${endpoint.port}`;
  });
  return [...broken, ...repeated(addresses, (index) => ["listeners", index, "url"])];
}

/** Without a users file somebody must be let in without a name, and beyond loopback somebody must have said so. */
function accessRules(
  path: SettingPath,
  { url = "", allowAnonymous }: ListenerOutline,
  outline: Outline,
): BrokenRule[] {
  if (outline.access.usersFile !== undefined) return [];
  const settings = { allowAnonymous: outline.allowAnonymous, hasUsersFile: false };
  if (allowsAnonymous(settings, { url, allowAnonymous })) return [];
  if (allowAnonymous === false) {
    const reason = "nobody could come in: there is no users file (access.usersFile, --users)";
    return [{ path: [...path, "allowAnonymous"], reason }];
  }
  const reason =
    "beyond loopback without authentication: give a users file (--users), or set allowAnonymous (--allow-anonymous) if that is meant";
  return [{ path: [...path, "url"], reason }];
}

/** Settings that this kind of listener needs or cannot have. */
function kindRules(
  path: SettingPath,
  { tls, origins, protocols, mode, proxyProtocol }: ListenerOutline,
  endpoint: ListenerEndpoint,
  hasCommonTls: boolean,
): BrokenRule[] {
  const broken: BrokenRule[] = [];
  const isSecure = endpoint.kind !== "unix" && endpoint.isSecure;
  if (isSecure && tls === undefined && !hasCommonTls) {
    const reason = "needs a certificate: give tls.cert and tls.key (--tls-cert, --tls-key)";
    broken.push({ path: [...path, "url"], reason });
  }
  if (!isSecure && tls !== undefined) {
    broken.push({ path: [...path, "tls"], reason: "only for mqtts://, wss:// and rills://" });
  }
  if (origins !== undefined && endpoint.kind !== "websocket") {
    broken.push({
      path: [...path, "origins"],
      reason: "only for ws://, wss://, rill:// and rills://",
    });
  }
  if (protocols !== undefined && (endpoint.kind !== "websocket" || endpoint.isNative)) {
    broken.push({ path: [...path, "protocols"], reason: "only for ws:// and wss://" });
  }
  if (proxyProtocol !== undefined && endpoint.kind === "unix") {
    broken.push({ path: [...path, "proxyProtocol"], reason: "not for unix://" });
  }
  if (mode !== undefined && endpoint.kind !== "unix") {
    broken.push({ path: [...path, "mode"], reason: "only for unix://" });
  }
  return broken;
}

/** Whoever asks for certificates must know by whom they are to be signed. */
function tlsRules({ listeners, tls }: Outline): BrokenRule[] {
  const places: { readonly path: SettingPath; readonly tls: TlsOutline }[] = [
    { path: ["tls"], tls },
    ...listeners.map((one, at) => ({ path: ["listeners", at, "tls"] as const, tls: one.tls })),
  ];
  return places
    .filter((place) => place.tls?.requestClientCert === true && place.tls.ca === undefined)
    .map(({ path }) => ({ path: [...path, "ca"], reason: "missing: requestClientCert needs it" }));
}

function streamRules({ streams }: Outline): BrokenRule[] {
  const broken = repeated(
    streams.map((stream) => stream.name),
    (index) => ["streams", index, "name"],
  );
  const places = streams.flatMap(({ filters }, index) =>
    filters.map((filter, at) => ({ filter, path: ["streams", index, "filters", at] as const })),
  );
  const filters = places.map((place) => place.filter);
  return [...broken, ...repeated(filters, (index) => places[index]?.path ?? [])];
}

/** More often than that nobody can look. */
const SYS_INTERVAL_MS_MIN = 100;

function sizeRules(input: Readonly<Record<string, unknown>>): BrokenRule[] {
  const store = storeSchema.safeParse(input["store"] ?? {}).data;
  const mqtt = mqttSchema.safeParse(input["mqtt"] ?? {}).data;
  const broken: BrokenRule[] = [];
  if (store === undefined) return broken;
  if (store.pendingBytesMax > store.maxBytes) {
    broken.push({ path: ["store", "pendingBytesMax"], reason: "more than store.maxBytes" });
  }
  if (mqtt !== undefined && mqtt.keepAliveMinSeconds > mqtt.keepAliveMaxSeconds) {
    const reason = "more than mqtt.keepAliveMaxSeconds";
    broken.push({ path: ["mqtt", "keepAliveMinSeconds"], reason });
  }
  if (mqtt !== undefined && mqtt.sysIntervalMs > 0 && mqtt.sysIntervalMs < SYS_INTERVAL_MS_MIN) {
    broken.push({ path: ["mqtt", "sysIntervalMs"], reason: "expected 0, or 100ms or more" });
  }
  if (mqtt !== undefined && mqtt.maxPacketBytes > store.pendingBytesMax) {
    broken.push({
      path: ["mqtt", "maxPacketBytes"],
      reason: "more than store.pendingBytesMax: such a packet could never be stored",
    });
  }
  return broken;
}

/** All rules that this input breaks. */
export function brokenRules(input: Readonly<Record<string, unknown>>): BrokenRule[] {
  const outline = outlineSchema.parse(input);
  return [
    ...listenerRules(outline),
    ...tlsRules(outline),
    ...streamRules(outline),
    ...uplinkRules(input),
    ...patternRules(input),
    ...sizeRules(input),
  ];
}
