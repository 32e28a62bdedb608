import { createHash, createHmac, pbkdf2Sync } from "node:crypto";

const hmac = (key: Uint8Array, data: string): Buffer =>
  createHmac("sha256", key).update(data).digest();

/** The client's side of SCRAM-SHA-256, as RFC 5802 has it; what the broker says comes as text. */
export class ScramClient {
  readonly #user: string;
  readonly #password: string;
  readonly #nonce: string;
  readonly #gs2: string;
  #signature = "";

  constructor(user: string, password: string, nonce = "fyko+d2lbbFgONRv9qkxdawL", gs2 = "n,,") {
    this.#user = user;
    this.#password = password;
    this.#nonce = nonce;
    this.#gs2 = gs2;
  }

  get #bare(): string {
    const name = this.#user.replaceAll("=", "=3D").replaceAll(",", "=2C");
    return `n=${name},r=${this.#nonce}`;
  }

  first(): Buffer {
    return Buffer.from(this.#gs2 + this.#bare);
  }

  /** What `server` said first. */
  static partsOf(server: Uint8Array | undefined): {
    nonce: string;
    salt: string;
    iterations: number;
  } {
    const [, nonce = "", salt = "", iterations = ""] =
      /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(Buffer.from(server ?? []).toString()) ?? [];
    return { nonce, salt, iterations: Number(iterations) };
  }

  /** `said`: what it repeats as the nonce of both, where that is not what the broker said. */
  final(server: Uint8Array | undefined, said?: string): Buffer {
    const first = Buffer.from(server ?? []).toString();
    const { nonce, salt, iterations } = ScramClient.partsOf(server);
    const salted = pbkdf2Sync(
      this.#password,
      Buffer.from(salt, "base64"),
      iterations,
      32,
      "sha256",
    );
    const clientKey = hmac(salted, "Client Key");
    const bare = `c=${Buffer.from(this.#gs2).toString("base64")},r=${said ?? nonce}`;
    const authMessage = `${this.#bare},${first},${bare}`;
    const signature = hmac(createHash("sha256").update(clientKey).digest(), authMessage);
    const proof = clientKey.map((byte, i) => byte ^ (signature[i] ?? 0));
    this.#signature = hmac(hmac(salted, "Server Key"), authMessage).toString("base64");
    return Buffer.from(`${bare},p=${Buffer.from(proof).toString("base64")}`);
  }

  /** True when the server has shown that it knows the password. */
  trusts(server: Uint8Array | undefined): boolean {
    return Buffer.from(server ?? []).toString() === `v=${this.#signature}`;
  }
}
