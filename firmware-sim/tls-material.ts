import { execFile, spawnSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const DAYS = "2";
const OPENSSL_MS_MAX = 20_000;
const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"] as const;
const SERVER_EXTENSIONS = [
  "basicConstraints=critical,CA:FALSE",
  "keyUsage=critical,digitalSignature",
  "extendedKeyUsage=serverAuth",
  "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost",
].join("\n");

/** Files (PEM) for one server on loopback, and for those who are to trust it. */
export interface TlsMaterial {
  /** The authority's certificate; its key is thrown away with the folder. */
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** True when `openssl` can be run here. */
export function isOpensslInstalled(): boolean {
  return spawnSync("openssl", ["version"], { stdio: "ignore" }).status === 0;
}

/**
 * Makes an authority of its own in a new folder and has it sign a certificate for 127.0.0.1, ::1 and localhost. Both are valid for two days.
 * @throws Error with what openssl said
 */
export async function makeTlsMaterial(folder: string): Promise<TlsMaterial> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const at = (name: string): string => join(folder, name);
  const openssl = async (...args: string[]): Promise<void> => {
    await promisify(execFile)("openssl", args, { timeout: OPENSSL_MS_MAX });
  };
  const ca = { key: at("ca.key"), cert: at("ca.crt") };
  const server = { key: at("server.key"), request: at("server.csr"), cert: at("server.crt") };
  const extensions = at("server.ext");
  await writeFile(extensions, `${SERVER_EXTENSIONS}\n`);
  await openssl(
    ...["req", "-x509", ...KEY, "-days", DAYS, "-subj", "/CN=RillMQ simulation CA"],
    ...["-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", ca.key, "-out", ca.cert],
  );
  await openssl(
    ...["req", ...KEY, "-subj", "/CN=localhost", "-keyout", server.key, "-out", server.request],
  );
  await openssl(
    ...["x509", "-req", "-in", server.request, "-CA", ca.cert, "-CAkey", ca.key, "-CAcreateserial"],
    ...["-days", DAYS, "-extfile", extensions, "-out", server.cert],
  );
  return { caFile: ca.cert, certFile: server.cert, keyFile: server.key };
}
