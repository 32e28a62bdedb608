/**
 * Reads the configuration: defaults, then the file, then the environment, then flags; the later wins. All mistakes are reported at once,
 * each with its path, where it was set, and why it is one.
 */
import { readFileSync } from "node:fs";
import { isMap, LineCounter, type ParsedNode, parseDocument, stringify } from "yaml";
import type { z } from "zod";
import { environmentSettings, type SettingPath } from "./config-environment.ts";
import { brokenRules } from "./config-rules.ts";
import { type Config, configJsonSchema, configSchema } from "./config-schema.ts";
import { durationText, sizeText } from "./config-units.ts";

export type { Config, TlsConfig, UplinkConfig } from "./config-schema.ts";

/** What the command line sets; undefined: not given. */
export interface ConfigFlags {
  /** Replaces all listeners. */
  readonly listen?: readonly string[] | undefined;
  readonly data?: string | undefined;
  readonly http?: string | undefined;
  readonly allowAnonymous?: boolean | undefined;
  readonly users?: string | undefined;
  readonly rules?: string | undefined;
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  readonly tlsCa?: string | undefined;
}

/** Where settings come from. */
export interface ConfigSources {
  /** Path of a YAML file. */
  readonly file?: string | undefined;
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly flags?: ConfigFlags | undefined;
}

/** One mistake. */
export interface ConfigMistake {
  /** Such as `streams[0].maxBytes`; "" for the whole. */
  readonly path: string;
  /** Such as `edge.yaml line 7`, `RILLMQ_DATA`, `--listen`, `default`. */
  readonly source: string;
  readonly reason: string;
}

/** The configuration has mistakes; the message is a block of lines that lists them all. Exit code 2. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly code = "CONFIG";
  readonly mistakes: readonly ConfigMistake[];

  constructor(mistakes: readonly ConfigMistake[]) {
    const count = mistakes.length === 1 ? "1 mistake" : `${mistakes.length} mistakes`;
    const lines = mistakes.map(({ path, source, reason }) =>
      path === "" ? `  ${reason} (${source})` : `  ${path}: ${reason} (${source})`,
    );
    super(`the configuration has ${count}:\n${lines.join("\n")}`);
    this.mistakes = mistakes;
  }
}

type Settings = Record<string, unknown>;

const isSettings = (value: unknown): value is Settings =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** `["streams", 0, "maxBytes"]` as `streams[0].maxBytes`. */
function pathText(path: SettingPath): string {
  return path
    .map((part, i) => (typeof part === "number" ? `[${part}]` : i === 0 ? part : `.${part}`))
    .join("");
}

/** What was given so far: values, where each came from, and mistakes. */
class Gathered {
  readonly settings: Settings = {};
  readonly mistakes: ConfigMistake[] = [];
  readonly #sources = new Map<string, string>();
  #sourceInFile: (path: SettingPath) => string | undefined = () => undefined;

  /** Takes the file's settings as the ground for the rest. */
  ground(settings: Settings, sourceOf: (path: SettingPath) => string | undefined): void {
    Object.assign(this.settings, settings);
    this.#sourceInFile = sourceOf;
  }

  refuse(path: SettingPath, source: string, reason: string): void {
    this.mistakes.push({ path: pathText(path), source, reason });
  }

  /** Where the value at this path, or the nearest one around it, was set. */
  sourceOf(path: SettingPath): string {
    for (let length = path.length; length > 0; length--) {
      const source = this.#sources.get(pathText(path.slice(0, length)));
      if (source !== undefined) return source;
    }
    return this.#sourceInFile(path) ?? "default";
  }

  set(path: SettingPath, value: unknown, source: string): void {
    let holder: unknown = this.settings;
    for (let i = 0; i < path.length; i++) {
      const key = path[i];
      if (key === undefined) return;
      if (Array.isArray(holder) ? typeof key !== "number" : !isSettings(holder)) {
        this.refuse(path, source, `${pathText(path.slice(0, i))} is set to something else`);
        return;
      }
      if (typeof key === "number" && Array.isArray(holder) && key > holder.length) {
        this.refuse(path, source, `${pathText([...path.slice(0, i), holder.length])} is not set`);
        return;
      }
      const parent = holder as Record<string | number, unknown>;
      if (i === path.length - 1) parent[key] = value;
      else parent[key] ??= typeof path[i + 1] === "number" ? [] : {};
      holder = parent[key];
    }
    this.#sources.set(pathText(path), source);
  }
}

function readFile(gathered: Gathered, file: string): void {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    gathered.refuse([], file, `cannot read the configuration file: ${code}`);
    return;
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const lineOf = (offset: number): string => `${file} line ${lines.linePos(offset).line}`;
  for (const error of document.errors) {
    gathered.refuse([], lineOf(error.pos[0]), `not YAML: ${error.message}`);
  }
  if (document.errors.length > 0 || document.contents === null) return;
  if (!isMap(document.contents)) {
    gathered.refuse([], lineOf(0), "expected settings, one `name: value` a line");
    return;
  }
  gathered.ground(document.toJS() as Settings, (path) => {
    for (let length = path.length; length > 0; length--) {
      const node = document.getIn(path.slice(0, length), true) as ParsedNode | undefined;
      if (node?.range) return lineOf(node.range[0]);
    }
    return undefined;
  });
}

function readEnvironment(
  gathered: Gathered,
  env: Readonly<Record<string, string | undefined>>,
): void {
  if (!Object.keys(env).some((variable) => variable.startsWith("RILLMQ_"))) return;
  for (const setting of environmentSettings(env, configJsonSchema())) {
    if (setting.path === undefined) {
      gathered.refuse([], setting.variable, "no setting goes by this variable");
    } else {
      gathered.set(setting.path, setting.value, setting.variable);
    }
  }
}

function readFlags(gathered: Gathered, flags: ConfigFlags): void {
  const { listen, data, http, allowAnonymous } = flags;
  if (listen !== undefined && listen.length > 0) {
    const listeners = listen.map((url) => ({ url }));
    gathered.set(["listeners"], listeners, "--listen");
  }
  if (data !== undefined) gathered.set(["data"], data, "--data");
  if (http !== undefined) gathered.set(["http"], http, "--http");
  if (allowAnonymous === true) gathered.set(["allowAnonymous"], true, "--allow-anonymous");
  const { tlsCert, tlsKey, tlsCa, users, rules } = flags;
  if (users !== undefined) gathered.set(["access", "usersFile"], users, "--users");
  if (rules !== undefined) gathered.set(["access", "rulesFile"], rules, "--rules");
  if (tlsCert !== undefined) gathered.set(["tls", "cert"], tlsCert, "--tls-cert");
  if (tlsKey !== undefined) gathered.set(["tls", "key"], tlsKey, "--tls-key");
  if (tlsCa !== undefined) gathered.set(["tls", "ca"], tlsCa, "--tls-ca");
}

function refuseIssue(gathered: Gathered, issue: z.core.$ZodIssue): void {
  const path = issue.path.map((part) => (typeof part === "symbol" ? String(part) : part));
  if (issue.code === "unrecognized_keys") {
    for (const key of issue.keys) {
      gathered.refuse([...path, key], gathered.sourceOf([...path, key]), "no such setting");
    }
    return;
  }
  const reason = issue.message.replace(/^Invalid [a-z ]+[:.] /, "").replace(/^E/, "e");
  gathered.refuse(path, gathered.sourceOf(path), reason);
}

/** The configuration, and whether `http` was given by anybody (a given port is not replaced by a free one). */
export interface LoadedConfig {
  readonly config: Config;
  readonly isHttpGiven: boolean;
}

/**
 * Reads and checks everything.
 * @throws ConfigError with all mistakes
 */
export function loadConfigAndOrigin(sources: ConfigSources): LoadedConfig {
  const gathered = new Gathered();
  if (sources.file !== undefined) readFile(gathered, sources.file);
  readEnvironment(gathered, sources.env ?? {});
  readFlags(gathered, sources.flags ?? {});
  const { settings, mistakes } = gathered;
  const checked = configSchema.safeParse(settings);
  for (const issue of checked.error?.issues ?? []) refuseIssue(gathered, issue);
  for (const { path, reason } of brokenRules(settings)) {
    gathered.refuse(path, gathered.sourceOf(path), reason);
  }
  if (!checked.success || mistakes.length > 0) throw new ConfigError(mistakes);
  return { config: checked.data, isHttpGiven: settings["http"] !== undefined };
}

/**
 * The configuration from these sources.
 * @throws ConfigError with all mistakes
 */
export function loadConfig(sources: ConfigSources): Config {
  return loadConfigAndOrigin(sources).config;
}

/** Names of settings that nobody may read back. */
const SECRETS: ReadonlySet<string> = new Set(["password", "token"]);

/** The configuration as YAML that `loadConfig` reads back, but for secrets, which are shown as `(redacted)`. */
export function configText(config: Config): string {
  const shown = JSON.parse(
    JSON.stringify(config, (key, value: unknown) => {
      if (value !== undefined && SECRETS.has(key)) return "(redacted)";
      if (typeof value !== "number" || value === 0) return value;
      if (/Bytes(?:Max)?$/.test(key)) return sizeText(value);
      if (key.endsWith("Ms")) return durationText(value);
      return value;
    }),
  ) as unknown;
  return stringify(shown);
}
