/** Certificates for a test, made by openssl: nothing that expires lies in the repository. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { requireProgram } from "./requirements.ts";

const DAYS = "2";
const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** PEM files. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** A certification authority in a folder, and what it signs. */
export class TestAuthority {
  readonly ca: string;
  readonly #openssl: string;
  readonly #folder: string;
  readonly #caKey: string;
  #serial = 1;

  private constructor(openssl: string, folder: string) {
    this.#openssl = openssl;
    this.#folder = folder;
    this.ca = join(folder, "ca.crt");
    this.#caKey = join(folder, "ca.key");
    this.#run(
      ["req", "-x509", ...EC, "-keyout", this.#caKey, "-out", this.ca, "-days", DAYS],
      "CA",
    );
  }

  /** Fails where there is no openssl. */
  static createIn(folder: string): TestAuthority {
    return new TestAuthority("openssl", folder);
  }

  /** Undefined after the test was skipped, because there is no openssl. */
  static create(t: TestContext, folder: string): TestAuthority | undefined {
    const openssl = requireProgram(t, "openssl");
    return openssl === undefined ? undefined : new TestAuthority(openssl, folder);
  }

  /** A certificate for this common name, good for 127.0.0.1 and localhost, in files `name.crt` and `name.key`. */
  sign(name: string, commonName: string): KeyPair {
    const at = (suffix: string): string => join(this.#folder, `${name}.${suffix}`);
    const [cert, key, request, extensions] = [at("crt"), at("key"), at("csr"), at("ext")];
    this.#run(["req", ...EC, "-keyout", key, "-out", request], commonName);
    writeFileSync(extensions, "subjectAltName = DNS:localhost, IP:127.0.0.1\n");
    const serial = `${this.#serial++}`;
    const authority = ["-CA", this.ca, "-CAkey", this.#caKey, "-set_serial", serial];
    const files = ["-in", request, "-out", cert, "-extfile", extensions];
    execFileSync(this.#openssl, ["x509", "-req", ...authority, ...files, "-days", DAYS], {
      stdio: "pipe",
    });
    return { cert, key };
  }

  #run(args: readonly string[], commonName: string): void {
    execFileSync(this.#openssl, [...args, "-subj", `/CN=${commonName}`], { stdio: "pipe" });
  }
}
