import { execFileSync } from "node:child_process";
import { join } from "node:path";

/** PEM files of a certificate that signs itself, good for a day. */
export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

/** Makes one with openssl, the same kind for every peer: P-256. Throws where there is no openssl. */
export function makeCertificate(folder: string): CertificateFiles {
  const files = { cert: join(folder, "bench.crt"), key: join(folder, "bench.key") };
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const about = ["-subj", "/CN=localhost", "-days", "1"];
  const to = ["-keyout", files.key, "-out", files.cert];
  execFileSync("openssl", ["req", "-x509", ...kind, ...about, ...to], { stdio: "pipe" });
  return files;
}
