import { once } from "node:events";
import { WebSocket } from "ws";
import type { ServerFrame, Subprotocol } from "../../../src/native/frame.ts";
import { codecOf } from "../../../src/native/frame-codec.ts";
import type { Answer } from "../../support/native-client.ts";

const CONNECT_MS_MAX = 10_000;

type Fields = Readonly<Record<string, unknown>>;

/** A client of the native protocol that loses its connection and gets another; many requests are under way. */
export class PatternClient {
  readonly clientId: string;
  readonly #subprotocol: Subprotocol;
  readonly #onPushed: (frame: ServerFrame) => void;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #webSocket: WebSocket | undefined;
  #lastId = 0;

  /** `onPushed` gets what is no answer. */
  constructor(
    clientId: string,
    subprotocol: Subprotocol,
    onPushed: (frame: ServerFrame) => void = () => undefined,
  ) {
    this.clientId = clientId;
    this.#subprotocol = subprotocol;
    this.#onPushed = onPushed;
  }

  get isConnected(): boolean {
    return this.#webSocket?.readyState === WebSocket.OPEN;
  }

  /** Requests without answer. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** @throws Error when it is not let in */
  async connect(url: string): Promise<void> {
    const codec = codecOf(this.#subprotocol);
    const webSocket = new WebSocket(url.replace(/^rill/, "ws"), this.#subprotocol);
    webSocket.on("error", () => undefined);
    webSocket.on("message", (data: Buffer) => {
      if (webSocket !== this.#webSocket) return;
      for (const frame of codec.decode(data)) this.#onFrame(frame as ServerFrame);
    });
    await once(webSocket, "open", { signal: AbortSignal.timeout(CONNECT_MS_MAX) });
    this.#webSocket = webSocket;
    const welcome = await new Promise<Answer>((resolve, reject) => {
      webSocket.once("close", () => reject(new Error("closed before the welcome")));
      this.ask({ op: "hello", versions: [1], clientId: this.clientId }, resolve);
    });
    if (welcome.op !== "welcome") throw new Error(JSON.stringify(welcome));
  }

  /** Sends a request; `onAnswer` is not called when the connection is lost before. */
  ask(request: Fields, onAnswer: (answer: Answer) => void): void {
    const id = ++this.#lastId;
    this.#waiting.set(id, onAnswer);
    this.tell({ ...request, id });
  }

  /** Sends what is not answered. */
  tell(frame: Fields): void {
    if (this.isConnected) this.#webSocket?.send(codecOf(this.#subprotocol).encode(frame));
  }

  /** The connection is lost; what comes late on it is not looked at. */
  drop(): void {
    this.#webSocket?.terminate();
    this.#webSocket = undefined;
    this.#waiting.clear();
  }

  #onFrame(frame: ServerFrame): void {
    const { id } = frame as { readonly id?: number };
    if (id === undefined) {
      if (frame.op === "ping") this.tell({ op: "pong" });
      else this.#onPushed(frame);
      return;
    }
    const onAnswer = this.#waiting.get(id);
    this.#waiting.delete(id);
    onAnswer?.(frame as unknown as Answer);
  }
}
