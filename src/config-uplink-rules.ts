/** Rules between settings of uplinks, and of uplinks with streams. */
import { z } from "zod";
import type { SettingPath } from "./config-environment.ts";
import { type BrokenRule, duration, list, repeated, text } from "./config-rule.ts";

const given = z.unknown().optional();

const laneOutline = z
  .object({ stream: text, name: text, maxQos: given })
  .catch({ stream: undefined, name: undefined });

const uplinkOutline = z
  .object({
    name: text,
    driver: text,
    url: given,
    urls: given,
    backoffMinMs: duration(1_000),
    backoffMaxMs: duration(60_000),
    pin: z.boolean().catch(true),
    password: given,
    passwordFile: given,
    token: given,
    tokenFile: given,
    tls: z.object({ cert: given, key: given }).optional().catch(undefined),
    lanes: list(laneOutline),
  })
  .optional()
  .catch(undefined);

const outlineSchema = z
  .object({
    streams: list(
      z.object({ name: text, whenFull: text }).catch({ name: undefined, whenFull: undefined }),
    ),
    uplinks: list(uplinkOutline),
  })
  .catch({ streams: [], uplinks: [] });

type Outline = z.output<typeof outlineSchema>;
type UplinkOutline = NonNullable<Outline["uplinks"][number]>;

function remoteRules(uplink: UplinkOutline, path: SettingPath): BrokenRule[] {
  const broken: BrokenRule[] = [];
  if (uplink.url === undefined && uplink.urls === undefined) {
    broken.push({ path: [...path, "url"], reason: "missing: where is the remote?" });
  }
  if (uplink.url !== undefined && uplink.urls !== undefined) {
    broken.push({ path: [...path, "urls"], reason: "url or urls, not both" });
  }
  if (uplink.backoffMinMs > uplink.backoffMaxMs) {
    broken.push({ path: [...path, "backoffMinMs"], reason: "more than backoffMaxMs" });
  }
  for (const secret of ["password", "token"] as const) {
    if (uplink[secret] === undefined || uplink[`${secret}File`] === undefined) continue;
    broken.push({
      path: [...path, `${secret}File`],
      reason: `${secret} or ${secret}File, not both`,
    });
  }
  if ((uplink.tls?.cert === undefined) !== (uplink.tls?.key === undefined)) {
    broken.push({ path: [...path, "tls"], reason: "cert and key go together" });
  }
  return broken;
}

function laneRules(
  { lanes, driver }: UplinkOutline,
  path: SettingPath,
  streams: ReadonlySet<string | undefined>,
): BrokenRule[] {
  const names = lanes.map((lane) => lane.name ?? lane.stream);
  const broken = repeated(names, (index) => [
    ...path,
    "lanes",
    index,
    lanes[index]?.name === undefined ? "stream" : "name",
  ]);
  lanes.forEach(({ stream, maxQos }, index) => {
    const place = [...path, "lanes", index] as const;
    if (stream !== undefined && !streams.has(stream)) {
      broken.push({ path: [...place, "stream"], reason: `there is no stream "${stream}"` });
    }
    if (maxQos !== undefined && driver === "nats") {
      broken.push({ path: [...place, "maxQos"], reason: "only for driver mqtt" });
    }
  });
  return broken;
}

/** A stream that nothing waits for must be able to make room. */
function pinRules({ streams, uplinks }: Outline): BrokenRule[] {
  const broken: BrokenRule[] = [];
  streams.forEach(({ name, whenFull }, index) => {
    const readers = uplinks.filter((uplink) => uplink?.lanes.some((lane) => lane.stream === name));
    if (readers.length === 0 || readers.some((uplink) => uplink?.pin === true)) return;
    if (whenFull === "drop-oldest") return;
    broken.push({
      path: ["streams", index, "whenFull"],
      reason: "drop-oldest is needed: only uplinks with pin: false read this stream",
    });
  });
  return broken;
}

/** All rules about uplinks that this input breaks. */
export function uplinkRules(input: Readonly<Record<string, unknown>>): BrokenRule[] {
  const outline = outlineSchema.parse(input);
  const broken = repeated(
    outline.uplinks.map((uplink) => uplink?.name),
    (index) => ["uplinks", index, "name"],
  );
  const streams = new Set(outline.streams.map((stream) => stream.name));
  outline.uplinks.forEach((uplink, at) => {
    if (uplink === undefined) return;
    const path: SettingPath = ["uplinks", at];
    broken.push(...remoteRules(uplink, path), ...laneRules(uplink, path, streams));
  });
  return [...broken, ...pinRules(outline)];
}
