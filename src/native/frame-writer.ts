/**
 * Frames into the output of a connection, as a list that is whole after every frame, so that it may be sent at any time:
 *
 *     rill.v1+json      [frame,frame]
 *     rill.v1+msgpack   dd count:u32 frame frame       (array 32)
 */
import type { ByteWriter } from "../lib/byte-writer.ts";
import type { ServerFrame } from "./frame.ts";
import type { FrameCodec } from "./frame-codec.ts";

const OPEN = 0x5b;
const CLOSE = 0x5d;
const COMMA = 0x2c;
const ARRAY_32 = 0xdd;

export class FrameWriter {
  readonly #codec: FrameCodec;
  /** Frames written since the output was empty. */
  #count = 0;

  constructor(codec: FrameCodec) {
    this.#codec = codec;
  }

  /** Hot path: per frame. */
  write(output: ByteWriter, frame: ServerFrame): void {
    if (this.#codec.isText) this.#writeText(output, frame);
    else this.#writeBinary(output, frame);
  }

  #writeText(output: ByteWriter, frame: ServerFrame): void {
    if (output.end === 0) output.writeByte(OPEN);
    else output.bytes[output.end - 1] = COMMA;
    this.#codec.write(output, frame);
    output.writeByte(CLOSE);
  }

  #writeBinary(output: ByteWriter, frame: ServerFrame): void {
    if (output.end === 0) {
      this.#count = 0;
      output.writeByte(ARRAY_32);
      output.writeUint32(0);
    }
    this.#codec.write(output, frame);
    const { bytes } = output;
    const count = ++this.#count;
    bytes[1] = count >>> 24;
    bytes[2] = count >>> 16;
    bytes[3] = count >>> 8;
    bytes[4] = count;
  }
}
