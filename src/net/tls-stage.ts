import type { Socket } from "node:net";
import { createServer, type SecureContextOptions, type Server, type TLSSocket } from "node:tls";

export interface TlsStageOptions {
  readonly context: SecureContextOptions;
  /** True: clients need a certificate signed by the context's `ca`. */
  readonly requestClientCert: boolean;
  /** Protocols to agree on, for clients that ask. */
  readonly protocols: readonly string[];
  /** A handshake failed; its socket is destroyed. */
  readonly onFailed: () => void;
}

const peerOf = (socket: Socket): string => `${socket.remoteAddress} ${socket.remotePort}`;

/** Puts TLS on network connections. */
export class TlsStage {
  readonly #server: Server;
  /** Who waits for its handshake, by address and port of the peer. */
  readonly #waiting = new Map<string, (secured: TLSSocket) => void>();

  constructor(options: TlsStageOptions) {
    this.#server = createServer({
      ...options.context,
      requestCert: options.requestClientCert,
      rejectUnauthorized: options.requestClientCert,
      ALPNProtocols: [...options.protocols],
    });
    this.#server.on("secureConnection", (secured) => {
      const next = this.#waiting.get(peerOf(secured));
      if (next === undefined) secured.destroy();
      else next(secured);
    });
    this.#server.on("tlsClientError", (error: NodeJS.ErrnoException) => {
      // Closed by the peer, as a probe does, or by us when its time was up: nothing failed.
      if (error.code !== "ECONNRESET") options.onFailed();
    });
  }

  /** Runs the handshake; `next` gets what it leads to. The caller has the socket's deadline. */
  take(socket: Socket, next: (secured: TLSSocket) => void): void {
    const peer = peerOf(socket);
    this.#waiting.set(peer, (secured) => {
      this.#waiting.delete(peer);
      next(secured);
    });
    socket.once("close", () => this.#waiting.delete(peer));
    this.#server.emit("connection", socket);
  }

  /**
   * Connections from now on get this certificate. Session tickets of before are not taken any more: a client whose certificate is not
   * trusted now must not resume.
   */
  renew(context: SecureContextOptions): void {
    this.#server.setSecureContext(context);
  }
}

/** Common name of the client's certificate, or its first alternative name; undefined: it showed none. */
export function certificateSubjectOf(socket: TLSSocket): string | undefined {
  if (!socket.authorized) return undefined;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  const [commonName] = /^CN=.*$/m.exec(certificate.subject) ?? [];
  if (commonName !== undefined) return commonName.slice("CN=".length);
  return certificate.subjectAltName?.split(", ")[0]?.replace(/^[^:]*:/, "");
}
