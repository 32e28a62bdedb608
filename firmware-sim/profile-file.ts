import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { LineCounter, type ParsedNode, parseDocument } from "yaml";
import { z } from "zod";
import type { DeviceKind } from "./device-kind.ts";
import { type Group, KINDS, type Profile, type Protocol } from "./profile.ts";
import { TRANSPORTS, transportOf } from "./transport.ts";

const whole = (min: number, max: number) => {
  const error = `expected a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
};

const above = (low: number, max: number) => {
  const error = `expected a number above ${low}, at most ${max}`;
  return z.number({ error }).gt(low, { error }).max(max, { error });
};

const oneOf = <const T extends readonly string[]>(values: T) =>
  z.enum(values, { error: `expected ${values.join(", ")}` });

/** `4`, `5` or `mixed`; YAML reads the first two as numbers. */
const protocol = z
  .union([z.literal(4), z.literal(5), z.literal("4"), z.literal("5"), z.literal("mixed")], {
    error: "expected 4, 5 or mixed",
  })
  .transform(
    (value): Protocol => (value === "mixed" ? value : value === 4 || value === "4" ? "4" : "5"),
  );

const range = (low: number, high: number) =>
  z
    .strictObject({ min: whole(low, high), max: whole(low, high) })
    .refine(({ min, max }) => min <= max, { error: "min is above max" });

const common = {
  ratePerSecond: above(0, 100_000).optional(),
  outstandingMax: whole(1, 10_000).optional(),
  payloadBytes: whole(1, 262_144).optional(),
  keepAliveSeconds: whole(0, 65_535).optional(),
  protocol: protocol.optional(),
  commands: whole(0, 10_000).optional(),
};

const group = z.strictObject({
  kind: oneOf([...KINDS.keys()]),
  count: whole(1, 10_000),
  ...common,
  messagesPerDevice: whole(0, 1_000_000).optional(),
  transport: oneOf(TRANSPORTS).optional(),
  qos: z.literal([1, 2], { error: "expected 1 or 2" }).optional(),
  dropChance: z
    .number({ error: "expected 0 to 1" })
    .min(0, { error: "expected 0 to 1" })
    .max(1, { error: "expected 0 to 1" })
    .optional(),
  stay: z.strictObject({ messages: range(1, 100_000), sleepMs: range(0, 86_400_000) }).optional(),
});

const schema = z.strictObject({
  urls: z
    .array(
      z.string().refine((url) => transportOf(url) !== undefined, {
        error: `expected one of ${TRANSPORTS.map((one) => `${one}://`).join(", ")} with an address`,
      }),
    )
    .min(1, { error: "expected at least one address" })
    .max(64)
    .optional(),
  ca: z.string().min(1).optional(),
  seed: whole(0, 0xffff_ffff).optional(),
  messages: whole(0, 10_000_000).optional(),
  connectsPerSecond: above(0, 100_000).optional(),
  commandEveryMs: whole(1, 3_600_000).optional(),
  timeoutSeconds: above(0, 86_400).optional(),
  ...common,
  groups: z.array(group, { error: "expected a list of groups" }).min(1).max(1_000),
});

type RawGroup = z.output<typeof group>;

/** What a profile file says; what it does not say is left to flags and defaults. */
export interface ProfileFile extends Omit<z.output<typeof schema>, "groups"> {
  readonly profile: Profile;
}

/** A profile file has mistakes; the message lists them all. */
export class ProfileFileError extends Error {
  override readonly name = "ProfileFileError";
  /** Each as `line 3, groups[0].count: reason`. */
  readonly mistakes: readonly string[];

  constructor(file: string, mistakes: readonly string[]) {
    const count = mistakes.length === 1 ? "1 mistake" : `${mistakes.length} mistakes`;
    super(`${file} has ${count}:\n${mistakes.map((mistake) => `  ${mistake}`).join("\n")}`);
    this.mistakes = mistakes;
  }
}

type Path = readonly PropertyKey[];

interface Mistake {
  readonly path: Path;
  readonly reason: string;
}

/** Rules between settings; checked beside the schema, so that one mistake does not hide another. */
function brokenRules(raw: unknown): Mistake[] {
  const groups: unknown = isRecord(raw) ? raw["groups"] : undefined;
  if (!Array.isArray(groups)) return [];
  return groups.flatMap((one: unknown, index): Mistake[] => {
    if (!isRecord(one) || one["commands"] === undefined) return [];
    const kind = typeof one["kind"] === "string" ? KINDS.get(one["kind"]) : undefined;
    if (kind?.takesCommands !== false) return [];
    return [{ path: ["groups", index, "commands"], reason: `${kind.kind} takes no commands` }];
  });
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;

const pathText = (path: Path): string =>
  path
    .map((part, i) =>
      typeof part === "number" ? `[${part}]` : `${i === 0 ? "" : "."}${String(part)}`,
    )
    .join("");

function schemaMistakes(error: z.ZodError | undefined): Mistake[] {
  return (error?.issues ?? []).flatMap((issue): Mistake[] => {
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => ({ path: [...issue.path, key], reason: "no such setting" }));
    }
    return [{ path: issue.path, reason: issue.message.replace(/^Invalid input: /, "") }];
  });
}

function groupOf({ kind: name, qos, dropChance, stay, ...rest }: RawGroup): Group {
  const known = KINDS.get(name);
  if (known === undefined) throw new RangeError(`no kind ${name}`);
  const kind: DeviceKind = {
    ...known,
    qos: qos ?? known.qos,
    dropChance: dropChance ?? known.dropChance,
    stay: stay ?? known.stay,
  };
  return { ...rest, kind };
}

/**
 * Reads a profile from YAML; `file` is only for messages and to find `ca`, which is relative to it.
 * @throws ProfileFileError with all mistakes
 */
export function decodeProfileFile(text: string, file: string): ProfileFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    const mistakes = document.errors.map(
      ({ pos, message }) => `line ${lines.linePos(pos[0]).line}: not YAML: ${message}`,
    );
    throw new ProfileFileError(file, mistakes);
  }
  const lineOf = (path: Path): number => {
    for (let length = path.length; length > 0; length--) {
      const node = document.getIn(path.slice(0, length), true) as ParsedNode | undefined;
      if (node?.range) return lines.linePos(node.range[0]).line;
    }
    return 1;
  };
  const raw: unknown = document.toJS();
  const checked = schema.safeParse(raw);
  const mistakes = [...schemaMistakes(checked.error), ...brokenRules(raw)];
  if (!checked.success || mistakes.length > 0) {
    const located = mistakes.map((mistake) => ({ ...mistake, line: lineOf(mistake.path) }));
    located.sort((one, other) => one.line - other.line);
    const texts = located.map(({ line, path, reason }) => {
      const where = path.length === 0 ? `line ${line}` : `line ${line}, ${pathText(path)}`;
      return `${where}: ${reason}`;
    });
    throw new ProfileFileError(file, texts);
  }
  const { groups, ca, ...rest } = checked.data;
  return {
    ...rest,
    ca: ca === undefined ? undefined : resolve(dirname(file), ca),
    profile: groups.map(groupOf),
  };
}

/**
 * Reads a profile file.
 * @throws ProfileFileError with all mistakes, or that it cannot be read
 */
export function readProfileFile(file: string): ProfileFile {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new ProfileFileError(file, [`cannot be read: ${code}`]);
  }
  return decodeProfileFile(text, file);
}
