import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Container, PodSpec, Probe } from "kubernetes-types/core/v1.js";
import { parse } from "yaml";
import { readManifests, theOnly, typeMistakes } from "../support/kubernetes-manifests.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const manifests = readManifests();
const namespace = theOnly(manifests, "Namespace");
const configMap = theOnly(manifests, "ConfigMap");
const secret = theOnly(manifests, "Secret");
const service = theOnly(manifests, "Service");
const statefulSet = theOnly(manifests, "StatefulSet");
const dockerfile = readFileSync(join(ROOT, "Dockerfile.arm64"), "utf8");

function present<T>(value: T | undefined, what: string): T {
  assert.ok(value !== undefined, `${what} is missing`);
  return value;
}

const pod: PodSpec = present(statefulSet.spec?.template.spec, "the pod");
const container: Container = present(pod.containers[0], "the container");
const edgeYaml = present(configMap.data?.["edge.yaml"], "edge.yaml");
const config = parse(edgeYaml) as {
  readonly access: { readonly usersFile: string };
  readonly listeners: readonly { readonly url: string }[];
};

/** One instruction of the Dockerfile, the last one if it comes more than once. */
const instruction = (name: string): string =>
  present(
    [...dockerfile.matchAll(new RegExp(`^\\s*${name}\\s+(.+)$`, "gm"))].at(-1)?.[1],
    `${name} in Dockerfile.arm64`,
  );

test("the manifests have no field that Kubernetes does not know, and all that it requires", () => {
  assert.equal(typeMistakes(manifests.map(({ object }) => object)), "");
});

test("a misspelt field, a missing one and one of another type are found", () => {
  const pvc = { spec: { storageClasName: "local-path" } };
  const wrong = { ...statefulSet.spec, replicas: "1", volumeClaimTemplates: [pvc] };
  const mistakes = typeMistakes([{ ...statefulSet, spec: wrong }]);
  assert.match(mistakes, /storageClasName/);
  assert.match(mistakes, /'string' is not assignable to type 'number'/);
  const { serviceName: _, ...without } = present(statefulSet.spec, "spec");
  assert.match(typeMistakes([{ ...statefulSet, spec: without }]), /serviceName/);
});

test("every object but the namespace is in the namespace", () => {
  for (const { file, object } of manifests) {
    const expected = object.kind === "Namespace" ? undefined : namespace.metadata?.name;
    assert.equal(object.metadata.namespace, expected, file);
  }
});

test("names, labels and ports that refer to each other agree", () => {
  const labels = present(statefulSet.spec?.template.metadata?.labels, "labels of the pod");
  assert.deepEqual(statefulSet.spec?.selector.matchLabels, labels);
  assert.deepEqual(service.spec?.selector, labels);
  assert.equal(statefulSet.spec?.serviceName, service.metadata?.name);
  const ports = present(container.ports, "ports");
  for (const port of present(service.spec?.ports, "ports of the service")) {
    const target = ports.find(({ name }) => name === port.targetPort);
    assert.equal(target?.containerPort, port.port);
  }
  const volumes = new Map((pod.volumes ?? []).map((volume) => [volume.name, volume]));
  assert.equal(volumes.get("config")?.configMap?.name, configMap.metadata?.name);
  assert.equal(volumes.get("users")?.secret?.secretName, secret.metadata?.name);
  const claims = (statefulSet.spec?.volumeClaimTemplates ?? []).map(
    (claim) => claim.metadata?.name,
  );
  assert.deepEqual(claims, ["data"]);
  const mounted = (container.volumeMounts ?? []).map(({ name }) => name).sort();
  assert.deepEqual(mounted, [...volumes.keys(), ...claims].sort());
});

test("files are where the configuration looks for them", () => {
  const mounts = new Map((container.volumeMounts ?? []).map((mount) => [mount.name, mount]));
  const paths = [...mounts.values()].map(({ mountPath }) => mountPath);
  const isNested = paths.some((path) => paths.some((other) => other.startsWith(`${path}/`)));
  assert.ok(!isNested, "a mount inside a read-only mount has no place to be");
  const [users] = Object.keys(secret.stringData ?? {});
  assert.equal(config.access.usersFile, `${mounts.get("users")?.mountPath}/${users}`);
  const args = present(container.args, "arguments");
  assert.deepEqual(args, ["serve", "--config", `${mounts.get("config")?.mountPath}/edge.yaml`]);
  const ports = config.listeners.map(({ url }) => Number(new URL(url).port));
  assert.deepEqual(
    ports,
    (container.ports ?? []).map(({ containerPort }) => containerPort),
  );
});

test("image and manifest agree on user, data folder, port, command and probe", () => {
  const user = pod.securityContext;
  assert.equal(instruction("USER"), `${user?.runAsUser}:${user?.runAsGroup}`);
  assert.equal(user?.fsGroup, user?.runAsGroup);
  const data = (container.volumeMounts ?? []).find(({ name }) => name === "data")?.mountPath;
  assert.equal(instruction("VOLUME"), data);
  assert.match(dockerfile, new RegExp(`RILLMQ_DATA=${data}\\b`));
  assert.match(dockerfile, new RegExp(`--chown=${user?.runAsUser}:${user?.runAsGroup} /out/data/`));
  assert.equal(Number(instruction("EXPOSE")), container.ports?.[0]?.containerPort);
  assert.equal(container.command, undefined, "the image's ENTRYPOINT has the memory flags");
  assert.equal((JSON.parse(instruction("CMD")) as string[]).at(-1), "--ready");
  assert.match(dockerfile, /^CMD \["serve"\]$/m);
  const probe = JSON.parse(instruction("CMD")) as string[];
  assert.deepEqual(container.readinessProbe?.exec?.command, probe);
  assert.deepEqual(container.startupProbe?.exec?.command, probe);
  assert.deepEqual(container.livenessProbe?.exec?.command, probe.slice(0, -1));
});

test("probes leave the broker time, and the pod's end is not cut short", () => {
  const probes: (Probe | undefined)[] = [
    container.startupProbe,
    container.readinessProbe,
    container.livenessProbe,
  ];
  for (const probe of probes) assert.ok((probe?.timeoutSeconds ?? 0) >= 5);
  // The broker gives up a stop after 10 s by itself.
  assert.ok((pod.terminationGracePeriodSeconds ?? 0) > 10);
});

test("the pod is restricted, small and keeps its data", () => {
  assert.equal(namespace.metadata?.labels?.["pod-security.kubernetes.io/enforce"], "restricted");
  assert.equal(pod.automountServiceAccountToken, false);
  assert.equal(pod.securityContext?.runAsNonRoot, true);
  assert.equal(pod.securityContext?.seccompProfile?.type, "RuntimeDefault");
  assert.deepEqual(container.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ["ALL"] },
  });
  assert.equal(container.resources?.limits?.["memory"], "64Mi");
  assert.equal(statefulSet.spec?.replicas, 1);
  const [claim] = statefulSet.spec?.volumeClaimTemplates ?? [];
  assert.equal(claim?.spec?.storageClassName, "local-path");
  assert.deepEqual(claim?.spec?.accessModes, ["ReadWriteOnce"]);
});

test("edge.yaml of the ConfigMap passes rillmq config check", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "rillmq-k3s-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const users = join(folder, "users");
  writeFileSync(users, present(secret.stringData?.["users"], "users"), { mode: 0o600 });
  const file = join(folder, "edge.yaml");
  writeFileSync(file, edgeYaml.replace(config.access.usersFile, users));
  const bin = join(ROOT, "bin", "rillmq.js");
  const run = spawnSync(process.execPath, [bin, "config", "check", "--config", file], {
    encoding: "utf8",
  });
  assert.equal(run.status, 0, `${run.stdout}${run.stderr}`);
});
