/**
 * Credentials of an uplink, given directly or as files. Files are read anew at each connect, so that rotated secrets
 * are used without a restart.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** PEM files of a TLS connection, by path. */
export interface TlsFiles {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** Name the remote's certificate must have; default: the URL's host. */
  readonly serverName?: string;
}

export interface CredentialSources {
  readonly username?: string;
  readonly password?: string;
  readonly passwordFile?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  /** File with a NATS user's JWT and seed. */
  readonly credentialsFile?: string;
  readonly tls?: TlsFiles;
}

/** What the sources held when they were read. */
export interface Credentials {
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly token: string | undefined;
  readonly credentials: Buffer | undefined;
  /** For `node:tls`; undefined: nothing is said about TLS. */
  readonly tls: TlsMaterial | undefined;
}

export interface TlsMaterial {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly servername?: string;
}

/** A file with credentials cannot be read. */
export class CredentialsError extends Error {
  override readonly name = "CredentialsError";
}

function readFile(path: string, what: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new CredentialsError(`cannot read the ${what} ${path}: ${code}`, { cause: error });
  }
}

/** A secret's text, without the line end that editors put behind it. */
function readSecret(path: string, what: string): string {
  return readFile(path, what)
    .toString("utf8")
    .replace(/\r?\n$/, "");
}

function readTls(files: TlsFiles): TlsMaterial {
  const { ca, cert, key, serverName } = files;
  return {
    ...(ca === undefined ? {} : { ca: readFile(ca, "CA file") }),
    ...(cert === undefined ? {} : { cert: readFile(cert, "certificate file") }),
    ...(key === undefined ? {} : { key: readFile(key, "key file") }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
}

/**
 * Reads the files there are.
 * @throws CredentialsError
 */
export function readCredentials(sources: CredentialSources): Credentials {
  const { passwordFile, tokenFile, credentialsFile, tls } = sources;
  return {
    username: sources.username,
    password:
      passwordFile === undefined ? sources.password : readSecret(passwordFile, "password file"),
    token: tokenFile === undefined ? sources.token : readSecret(tokenFile, "token file"),
    credentials:
      credentialsFile === undefined ? undefined : readFile(credentialsFile, "credentials file"),
    tls: tls === undefined ? undefined : readTls(tls),
  };
}

/**
 * Changes when the content of one of the files does; undefined: there are no files. Never throws: a file that is not there
 * is a state, too.
 */
export function credentialsMark(sources: CredentialSources): string | undefined {
  const { passwordFile, tokenFile, credentialsFile, tls } = sources;
  const files = [passwordFile, tokenFile, credentialsFile, tls?.ca, tls?.cert, tls?.key];
  if (files.every((path) => path === undefined)) return undefined;
  const hash = createHash("sha256");
  for (const path of files) {
    if (path === undefined) continue;
    try {
      const content = readFileSync(path);
      hash.update(`${content.length} `).update(content);
    } catch (error) {
      hash.update(`missing ${String(error)}`);
    }
  }
  return hash.digest("hex");
}
