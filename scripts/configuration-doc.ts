/**
 * Makes docs/configuration.md from the schema: `node --import tsx scripts/configuration-doc.ts` writes it; a test says when it is stale.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { variableOf } from "../src/config-environment.ts";
import { configJsonSchema, type JsonSchema } from "../src/config-schema.ts";
import { durationText, sizeText } from "../src/config-units.ts";

const HEAD = `# Configuration

<!-- Made from src/config-schema.ts by scripts/configuration-doc.ts; do not edit. -->

Every setting, its default, limits and meaning. Settings come from, the later winning:

1. the defaults below;
2. the YAML file of \`--config FILE\` or \`RILLMQ_CONFIG\`;
3. environment variables: the path in upper snake case after \`RILLMQ_\`, elements of lists by number, so
   \`RILLMQ_STREAMS_0_MAX_BYTES\` is \`streams[0].maxBytes\`. A whole list or section may be given as YAML:
   \`RILLMQ_STREAMS_0_FILTERS='["sim/#"]'\`. Empty variables count as not set;
4. flags of \`rillmq serve\`, see [command line](cli.md#rillmq-serve).

Sizes are bytes or text such as \`64KiB\`, \`8MiB\`, \`1GiB\`, \`10MB\`. Durations are text such as \`200ms\`, \`30s\`, \`5m\`, \`1h\`, \`7d\`, or a number in
the unit at the end of the setting's name. An unknown setting or \`RILLMQ_\` variable is a mistake, and all mistakes are reported at once
with exit code 2. The variables that Kubernetes makes for a Service named \`rillmq\` are passed over. \`rillmq config check\` looks without
serving, \`rillmq config print\` shows what is in force, without secrets, \`rillmq config schema\` prints the JSON Schema.

\`\`\`yaml
edgeId: plant-7
listeners: [{ url: mqtt://127.0.0.1:1883 }]
streams: [{ name: telemetry, filters: ["sim/#"], maxBytes: 1GiB, whenFull: reject }]
uplinks:
  - name: centre
    driver: nats
    url: nats://127.0.0.1:4222
    lanes: [{ stream: telemetry, class: normal }]
\`\`\`
`;

type Shape = Readonly<Record<string, JsonSchema>>;

const code = (value: unknown): string =>
  `\`${typeof value === "string" ? value : JSON.stringify(value)}\``;

function amount(name: string, value: number): string {
  if (/Bytes(?:Max)?$/.test(name)) return sizeText(value);
  return name.endsWith("Ms") ? durationText(value) : String(value);
}

function limits(name: string, schema: JsonSchema): string {
  if (schema.enum !== undefined) return schema.enum.map(code).join(", ");
  if (schema.const !== undefined) return code(schema.const);
  if (schema.minimum === undefined || schema.maximum === undefined) return "";
  return `${amount(name, schema.minimum)} to ${amount(name, schema.maximum)}`;
}

function preset(schema: JsonSchema, isRequired: boolean): string {
  if (schema.default !== undefined) return schema.default === "" ? "empty" : code(schema.default);
  return isRequired ? "required" : "";
}

const isSection = (schema: JsonSchema): boolean =>
  schema.properties !== undefined ||
  schema.items?.properties !== undefined ||
  schema.items?.oneOf !== undefined;

function table(shape: Shape, required: readonly string[]): string {
  const rows = Object.entries(shape)
    .filter(([, schema]) => !isSection(schema))
    .map(([name, schema]) => {
      const cells = [code(name), preset(schema, required.includes(name)), limits(name, schema)];
      return `| ${cells.join(" | ")} | ${schema.description ?? ""} |`;
    });
  return ["| Setting | Default | Limits | Meaning |", "| --- | --- | --- | --- |", ...rows].join(
    "\n",
  );
}

function objectText(path: readonly (string | number)[], schema: JsonSchema): string {
  const shape = schema.properties ?? {};
  const own = table(shape, schema.required ?? []);
  const sections = Object.entries(shape)
    .filter(([, property]) => isSection(property))
    .map(([name, property]) => sectionText([...path, name], property));
  return [own, ...sections].join("\n");
}

function title(path: readonly (string | number)[]): string {
  return path.reduce<string>(
    (text, part) =>
      typeof part === "number" ? `${text}[]` : text === "" ? part : `${text}.${part}`,
    "",
  );
}

function sectionText(
  path: readonly string[] | readonly (string | number)[],
  schema: JsonSchema,
): string {
  const isList = schema.items !== undefined;
  const at = isList ? [...path, 0] : path;
  const element = schema.items ?? schema;
  const level = "#".repeat(Math.min(4, path.length + 1));
  const head = `\n${level} ${code(title(at))}\n\n${schema.description ?? ""}${isList ? " A list" : ""}${
    isList && schema.default !== undefined && (schema.default as unknown[]).length > 0
      ? `; default ${code(schema.default)}`
      : ""
  }${isList ? "." : ""} Variables: \`${variableOf(at)}_…\`.\n\n`;
  if (element.oneOf === undefined) return head + objectText(at, element);
  const variants = element.oneOf.map((variant) => {
    const driver = variant.properties?.["driver"];
    return `\n${level}# ${code(`driver: ${String(driver?.const)}`)}\n\n${objectText(at, variant)}`;
  });
  return head + variants.join("\n");
}

/** The whole text of docs/configuration.md. */
export function configurationDoc(): string {
  return `${HEAD}\n${objectText([], configJsonSchema())}\n`.replace(/\n{3,}/g, "\n\n");
}

if (process.argv[1] === import.meta.filename) {
  writeFileSync(join(import.meta.dirname, "..", "docs", "configuration.md"), configurationDoc());
}
