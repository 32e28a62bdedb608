/**
 * The peer broke the protocol. Whoever owns the connection answers with `reasonCode` where the version has
 * a packet for it (CONNACK before acceptance, DISCONNECT after it) and closes [MQTT-4.13.1-1].
 */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  /** A version 5 reason code of 0x80 or more (`ReasonCode`). */
  readonly reasonCode: number;
  /**
   * Only with reason code 0x84: the protocol level that the CONNECT announced, 0..255. The decoder's
   * `protocolVersion` stays at its default 3.1.1, so that the answer is a CONNACK with return code 0x01
   * that every client can read [MQTT 3.1.1: MQTT-3.1.2-2].
   */
  readonly announcedLevel: number | undefined;

  constructor(reasonCode: number, message: string, announcedLevel?: number) {
    super(message);
    this.reasonCode = reasonCode;
    this.announcedLevel = announcedLevel;
  }
}
