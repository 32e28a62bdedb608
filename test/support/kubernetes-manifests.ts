/** The manifests of k3s/, and whether Kubernetes' own types take them. */
import { spawnSync } from "node:child_process";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StatefulSet } from "kubernetes-types/apps/v1.js";
import type { ConfigMap, Namespace, Secret, Service } from "kubernetes-types/core/v1.js";
import { parseAllDocuments } from "yaml";

const ROOT = join(import.meta.dirname, "..", "..");

/** An object as a file has it. */
export interface Manifest {
  readonly file: string;
  readonly object: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly metadata: { readonly name: string; readonly namespace?: string };
  };
}

interface Kinds {
  readonly Namespace: Namespace;
  readonly ConfigMap: ConfigMap;
  readonly Secret: Secret;
  readonly Service: Service;
  readonly StatefulSet: StatefulSet;
}

/** All objects of k3s/. Throws on YAML that is none, and on keys that come twice. */
export function readManifests(): Manifest[] {
  const folder = join(ROOT, "k3s");
  const files = readdirSync(folder).filter((file) => file.endsWith(".yaml"));
  return files.sort().flatMap((file) => {
    const text = readFileSync(join(folder, file), "utf8");
    return parseAllDocuments(text).map((document) => {
      const mistake = document.errors[0] ?? document.warnings[0];
      if (mistake !== undefined) throw new Error(`${file}: ${mistake.message}`);
      return { file, object: document.toJS() as Manifest["object"] };
    });
  });
}

/** The one object of a kind. */
export function theOnly<Kind extends keyof Kinds>(
  manifests: readonly Manifest[],
  kind: Kind,
): Kinds[Kind] {
  const found = manifests.filter(({ object }) => object.kind === kind);
  const [first] = found;
  if (first === undefined || found.length > 1) throw new Error(`${found.length} objects ${kind}`);
  return first.object as Kinds[Kind];
}

/**
 * What is wrong with objects by the schema of Kubernetes, as the compiler says it: fields that do not exist, that are missing or
 * of another type. Empty: nothing.
 */
export function typeMistakes(objects: readonly object[]): string {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-k3s-"));
  try {
    symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
    const literals = objects.map((object, i) => {
      const { apiVersion, kind } = object as Manifest["object"];
      const module = apiVersion === "v1" ? "core/v1" : apiVersion;
      const type = `import("kubernetes-types/${module}.js").${kind}`;
      return `export const object${i}: ${type} = ${JSON.stringify(object, undefined, 1)};`;
    });
    writeFileSync(join(folder, "objects.ts"), literals.join("\n"));
    const options = { strict: true, noEmit: true, skipLibCheck: true, types: [] };
    const compilerOptions = { ...options, module: "nodenext", target: "es2023" };
    const project = { compilerOptions, files: ["objects.ts"] };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(project));
    const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
    const run = spawnSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" });
    if (run.error !== undefined) throw run.error;
    return run.status === 0 ? "" : `${run.stdout}${run.stderr}`.trim() || "the compiler failed";
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
