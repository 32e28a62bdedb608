/** `RILLMQ_STREAMS_0_MAX_BYTES` sets `streams[0].maxBytes`: the path in upper snake case, found in the schema. */
import { parse } from "yaml";
import type { JsonSchema } from "./config-schema.ts";

export type SettingPath = readonly (string | number)[];

const PREFIX = "RILLMQ_";

/** Read by the command line itself. */
const NOT_SETTINGS: ReadonlySet<string> = new Set(["RILLMQ_CONFIG"]);

/** What Kubernetes puts into every pod for a Service whose name starts with `rillmq`. */
const SERVICE_LINK =
  /^RILLMQ_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)$/;

const upperSnake = (key: string): string =>
  key.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toUpperCase();

/** The environment variable that sets this path. */
export function variableOf(path: SettingPath): string {
  return PREFIX + path.map((part) => upperSnake(String(part))).join("_");
}

interface Setting {
  readonly path: SettingPath;
  readonly schema: JsonSchema;
}

const branchesOf = (schema: JsonSchema): readonly JsonSchema[] =>
  schema.oneOf ?? schema.anyOf ?? [schema];

function below(key: string | number, schema: JsonSchema, rest: string): Setting | undefined {
  const setting = find(schema, rest);
  return setting && { path: [key, ...setting.path], schema: setting.schema };
}

function findProperty(schema: JsonSchema, rest: string): Setting | undefined {
  for (const [key, property] of Object.entries(schema.properties ?? {})) {
    const token = upperSnake(key);
    if (rest !== token && !rest.startsWith(`${token}_`)) continue;
    const setting = below(key, property, rest.slice(token.length + 1));
    if (setting !== undefined) return setting;
  }
  return undefined;
}

function findItem(schema: JsonSchema, rest: string): Setting | undefined {
  const match = /^(0|[1-9]\d{0,3})(?:_|$)/.exec(rest);
  if (match === null || schema.items === undefined) return undefined;
  const index = Number(match[1]);
  if (index >= (schema.maxItems ?? Number.POSITIVE_INFINITY)) return undefined;
  return below(index, schema.items, rest.slice(match[0].length));
}

/** The setting whose path in upper snake case is `rest`, below `schema`. */
function find(schema: JsonSchema, rest: string): Setting | undefined {
  if (rest === "") return { path: [], schema };
  for (const branch of branchesOf(schema)) {
    const setting = findProperty(branch, rest) ?? findItem(branch, rest);
    if (setting !== undefined) return setting;
  }
  return undefined;
}

/** Text as the setting's type; text that does not fit stays text, for the schema to refuse. */
function typed(text: string, schema: JsonSchema): unknown {
  const types = branchesOf(schema).flatMap((branch) => branch.type ?? []);
  if (types.includes("string")) return text;
  if (types.includes("number") || types.includes("integer")) {
    return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
  }
  if (types.includes("boolean") && (text === "true" || text === "false")) return text === "true";
  if (types.includes("array") || types.includes("object")) {
    try {
      return parse(text) as unknown;
    } catch {
      return text;
    }
  }
  return text;
}

/** With all numbers of one length. */
const byNumber = (variable: string): string =>
  variable.replace(/\d+/g, (digits) => digits.padStart(4, "0"));

/** What one variable sets, or that it sets nothing. */
export type EnvironmentSetting =
  | { readonly variable: string; readonly path: SettingPath; readonly value: unknown }
  | { readonly variable: string; readonly path: undefined };

/**
 * The settings among the environment's variables, in order of name. An empty variable counts as not set. Variables that Kubernetes
 * makes for Services are passed over.
 */
export function environmentSettings(
  env: Readonly<Record<string, string | undefined>>,
  schema: JsonSchema,
): EnvironmentSetting[] {
  const settings: EnvironmentSetting[] = [];
  const variables = Object.keys(env).filter((variable) => variable.startsWith(PREFIX));
  // Whole lists before their elements, elements by number. A comparison by language would load 2 MB of Unicode's tables.
  variables.sort((a, b) => (byNumber(a) < byNumber(b) ? -1 : 1));
  for (const variable of variables) {
    const text = env[variable];
    if (text === undefined || text === "") continue;
    if (NOT_SETTINGS.has(variable) || SERVICE_LINK.test(variable)) continue;
    const setting = find(schema, variable.slice(PREFIX.length));
    settings.push(
      setting === undefined
        ? { variable, path: undefined }
        : { variable, path: setting.path, value: typed(text, setting.schema) },
    );
  }
  return settings;
}
