import type { Chunk } from "./chunk.ts";

/** Chunks kept, the last used. */
const CHUNKS_MAX = 16;
/** Bytes kept; one larger chunk is kept alone. */
const BYTES_MAX = 2 * 1_048_576;

/** The last chunks that were read, so that a reader that goes on in small steps reads and checks each chunk once. */
export class ChunkCache {
  /** Log and first sequence to chunk; a Map keeps the order of use. */
  readonly #chunks = new Map<string, Chunk>();
  /** The chunk used last of each log: the reader that goes on asks for it again. */
  readonly #last = new Map<number, Chunk>();
  #bytes = 0;

  /** The chunk of `log` that holds `sequence`, when it is the log's last used one. */
  find(log: number, sequence: number): Chunk | undefined {
    const chunk = this.#last.get(log);
    return chunk !== undefined && sequence >= chunk.first && sequence < chunk.end
      ? chunk
      : undefined;
  }

  /** The chunk of `log` that starts with `first`. */
  get(log: number, first: number): Chunk | undefined {
    const name = `${log}/${first}`;
    const chunk = this.#chunks.get(name);
    if (chunk === undefined) return undefined;
    this.#chunks.delete(name);
    this.#chunks.set(name, chunk);
    this.#last.set(log, chunk);
    return chunk;
  }

  add(log: number, chunk: Chunk): void {
    this.#chunks.set(`${log}/${chunk.first}`, chunk);
    this.#last.set(log, chunk);
    this.#bytes += chunk.bytes.length;
    for (const [name, oldest] of this.#chunks) {
      if (this.#chunks.size <= CHUNKS_MAX && (this.#bytes <= BYTES_MAX || oldest === chunk)) break;
      this.#chunks.delete(name);
      this.#bytes -= oldest.bytes.length;
      const owner = Number(name.slice(0, name.indexOf("/")));
      if (this.#last.get(owner) === oldest) this.#last.delete(owner);
    }
  }
}
