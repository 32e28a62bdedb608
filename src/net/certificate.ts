/** Reads certificates and notices when they change. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import { watchFiles } from "../files/file-watch.ts";

/** How a listener proves who it is, and what it asks of clients. Paths of PEM files. */
export interface TlsSettings {
  readonly cert: string;
  readonly key: string;
  /** Certification authorities for certificates of clients. */
  readonly ca: string | undefined;
  /** True: clients need a certificate signed by `ca`. */
  readonly requestClientCert: boolean;
  readonly minVersion: "TLSv1.2" | "TLSv1.3";
}

/** What was read. */
export interface Certificate {
  readonly context: SecureContextOptions;
  /** When it ends, Unix time in milliseconds. */
  readonly notAfterMs: number;
}

function readPem(name: string, path: string, check: (pem: Buffer) => unknown): Buffer {
  try {
    const pem = readFileSync(path);
    check(pem);
    return pem;
  } catch (error) {
    throw new Error(`${name} ${path}: ${reasonOf(error)}`, { cause: error });
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  return code !== undefined && /^E[A-Z]+$/.test(code) ? code : error.message;
}

/**
 * Reads and checks the files.
 * @throws Error with one line that names the file, or says that the two do not belong together
 */
export function readCertificate(settings: TlsSettings): Certificate {
  const asCertificate = (pem: Buffer): X509Certificate => new X509Certificate(pem);
  const cert = readPem("certificate", settings.cert, asCertificate);
  const key = readPem("key", settings.key, (pem) => createPrivateKey(pem));
  const ca = settings.ca === undefined ? undefined : readPem("ca", settings.ca, asCertificate);
  const { minVersion } = settings;
  const context = { cert, key, minVersion, ...(ca === undefined ? {} : { ca }) };
  const certificate = new X509Certificate(cert);
  if (!certificate.checkPrivateKey(createPrivateKey(key))) {
    throw new Error(`key ${settings.key} does not belong to certificate ${settings.cert}`);
  }
  try {
    createSecureContext(context);
  } catch (error) {
    throw new Error(`certificate ${settings.cert}: ${reasonOf(error)}`, { cause: error });
  }
  return { context, notAfterMs: Date.parse(certificate.validTo) };
}

export interface CertificateWatchOptions {
  readonly settings: TlsSettings;
  /** Another certificate is there and good. */
  readonly onLoaded: (certificate: Certificate) => void;
  /** Another one is there and cannot be used; told once for each change. */
  readonly onFailed: (reason: string) => void;
}

/** The certificate of one listener; read again after its files changed and then stayed the same for one look. */
export class CertificateWatch {
  /** What was read at the start. */
  readonly first: Certificate;
  readonly #options: CertificateWatchOptions;
  readonly #stop: () => void;

  /** @throws Error with one line when the files cannot be used */
  constructor(options: CertificateWatchOptions) {
    this.#options = options;
    const { cert, key, ca } = options.settings;
    const paths = ca === undefined ? [cert, key] : [cert, key, ca];
    this.#stop = watchFiles(paths, () => this.reload());
    try {
      this.first = readCertificate(options.settings);
    } catch (error) {
      this.#stop();
      throw error;
    }
  }

  /** Reads them now, changed or not. */
  reload(): void {
    const { settings, onLoaded, onFailed } = this.#options;
    let certificate: Certificate;
    try {
      certificate = readCertificate(settings);
    } catch (error) {
      onFailed(reasonOf(error));
      return;
    }
    onLoaded(certificate);
  }

  close(): void {
    this.#stop();
  }
}
