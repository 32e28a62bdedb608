/** A client of the native protocol on a real WebSocket. */
import { once } from "node:events";
import { type ClientOptions, WebSocket } from "ws";
import type { ServerFrame, Subprotocol } from "../../src/native/frame.ts";
import { codecOf } from "../../src/native/frame-codec.ts";
import type { Answer } from "./native-client.ts";

const WAIT_MS = 10_000;

/** Who closes it at the end: a `TestContext`. */
interface Cleanup {
  after(callback: () => void): void;
}

export class NativeSocket {
  readonly webSocket: WebSocket;
  readonly #codec: ReturnType<typeof codecOf>;
  readonly #frames: ServerFrame[] = [];
  readonly #wanted: { take(frame: ServerFrame): boolean; resolve(frame: ServerFrame): void }[] = [];
  #lastId = 0;

  private constructor(webSocket: WebSocket, subprotocol: Subprotocol) {
    this.webSocket = webSocket;
    this.#codec = codecOf(subprotocol);
    // Each answer that is waited for is one.
    webSocket.setMaxListeners(0);
    webSocket.on("error", () => undefined);
    webSocket.on("message", (data: Buffer) => {
      for (const frame of this.#codec.decode(data)) this.#onFrame(frame as ServerFrame);
    });
  }

  /** Connects without hello. `options` are those of the WebSocket. */
  static async dial(
    t: Cleanup,
    url: string,
    subprotocol: Subprotocol = "rill.v1+msgpack",
    options: ClientOptions = {},
  ): Promise<NativeSocket> {
    const webSocket = new WebSocket(url.replace(/^rill/, "ws"), subprotocol, {
      rejectUnauthorized: false,
      ...options,
    });
    t.after(() => webSocket.terminate());
    const socket = new NativeSocket(webSocket, subprotocol);
    await once(webSocket, "open", { signal: AbortSignal.timeout(WAIT_MS) });
    return socket;
  }

  /** Connects and is welcome. */
  static async open(
    t: Cleanup,
    url: string,
    hello: Readonly<Record<string, unknown>> = {},
    subprotocol: Subprotocol = "rill.v1+msgpack",
  ): Promise<NativeSocket> {
    const socket = await NativeSocket.dial(t, url, subprotocol);
    const welcome = await socket.ask({ op: "hello", versions: [1], ...hello });
    if (welcome.op !== "welcome") throw new Error(JSON.stringify(welcome));
    return socket;
  }

  send(frame: unknown): void {
    this.webSocket.send(this.#codec.encode(frame));
  }

  /** Sends a request and waits for its answer. */
  async ask(request: Readonly<Record<string, unknown>>): Promise<Answer> {
    const id = ++this.#lastId;
    this.send({ ...request, id });
    const answer = await this.next((frame) => (frame as { readonly id?: number }).id === id);
    return answer as unknown as Answer;
  }

  /** The first frame of this kind that comes or has come. */
  async nextOf<Op extends ServerFrame["op"]>(
    op: Op,
  ): Promise<Extract<ServerFrame, { readonly op: Op }>> {
    const frame = await this.next((one) => one.op === op);
    return frame as Extract<ServerFrame, { readonly op: Op }>;
  }

  async next(take: (frame: ServerFrame) => boolean): Promise<ServerFrame> {
    const at = this.#frames.findIndex(take);
    const [found] = at < 0 ? [] : this.#frames.splice(at, 1);
    if (found !== undefined) return found;
    let timer: NodeJS.Timeout | undefined;
    let onClose: () => void = () => undefined;
    try {
      return await new Promise((resolve, reject) => {
        this.#wanted.push({ take, resolve });
        const late = (): void => reject(new Error(`no such frame in ${WAIT_MS} ms`));
        timer = setTimeout(late, WAIT_MS);
        onClose = () => reject(new Error("the connection was closed"));
        this.webSocket.once("close", onClose);
      });
    } finally {
      clearTimeout(timer);
      this.webSocket.off("close", onClose);
    }
  }

  /** The code with which the WebSocket is closed. */
  async closed(): Promise<number> {
    if (this.webSocket.readyState === WebSocket.CLOSED) return 0;
    const [code] = await once(this.webSocket, "close", { signal: AbortSignal.timeout(WAIT_MS) });
    return code as number;
  }

  #onFrame(frame: ServerFrame): void {
    const at = this.#wanted.findIndex(({ take }) => take(frame));
    const [wanted] = at < 0 ? [] : this.#wanted.splice(at, 1);
    if (wanted === undefined) this.#frames.push(frame);
    else wanted.resolve(frame);
  }
}
