/**
 * Frames into the output of a connection, as a list that is whole after every frame, so that it may be sent at any time:
 *
 *     rill.v1+json      [frame,frame]
 *     rill.v1+msgpack   dd count:u32 frame frame       (array 32)
 */
import type { LogDelivery } from "../broker/delivery-receiver.ts";
import type { ByteWriter } from "../lib/byte-writer.ts";
import type { Clock } from "../lib/clock.ts";
import { deliveryOf, writeDeliveries } from "./delivery-content.ts";
import type { ServerFrame } from "./frame.ts";
import type { FrameCodec } from "./frame-codec.ts";
import { packMessagePack, writeFields, writeMapHead, writeNumber } from "./message-pack.ts";

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
    else {
      this.#begin(output);
      this.#codec.write(output, frame);
      this.#end(output);
    }
  }

  /** A frame `deliveries`. Hot path: per message of a queue. */
  writeDeliveries(
    output: ByteWriter,
    sub: number,
    deliveries: readonly LogDelivery[],
    clock: Clock,
  ): void {
    if (this.#codec.isText) {
      const all = deliveries.map((one) => deliveryOf(one, clock));
      this.#writeText(output, { op: "deliveries", sub, deliveries: all });
    } else {
      this.#begin(output);
      writeDeliveries(output, sub, deliveries, clock);
      this.#end(output);
    }
  }

  /** A frame `ok` with what it has besides. Hot path: per answer. */
  writeOk(output: ByteWriter, id: number, result: Readonly<Record<string, unknown>>): void {
    if (this.#codec.isText) this.#writeText(output, { op: "ok", id, ...result });
    else {
      this.#begin(output);
      writeOk(output, id, result);
      this.#end(output);
    }
  }

  #writeText(output: ByteWriter, frame: ServerFrame): void {
    if (output.end === 0) output.writeByte(OPEN);
    else output.bytes[output.end - 1] = COMMA;
    this.#codec.write(output, frame);
    output.writeByte(CLOSE);
  }

  #begin(output: ByteWriter): void {
    if (output.end > 0) return;
    this.#count = 0;
    output.writeByte(ARRAY_32);
    output.writeUint32(0);
  }

  #end({ bytes }: ByteWriter): void {
    const count = ++this.#count;
    bytes[1] = count >>> 24;
    bytes[2] = count >>> 16;
    bytes[3] = count >>> 8;
    bytes[4] = count;
  }
}

/** What every `ok` begins with, behind the head of its map: `op`, `ok` and the name of `id`. */
const OK = Uint8Array.from(["op", "ok", "id"].flatMap((text) => [...packMessagePack(text)]));

function writeOk(output: ByteWriter, id: number, result: Readonly<Record<string, unknown>>): void {
  let fields = 2;
  for (const field in result) if (result[field] !== undefined) fields++;
  writeMapHead(output, fields);
  output.writeBytes(OK);
  writeNumber(output, id);
  writeFields(output, result);
}
