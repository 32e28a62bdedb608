/** Settings of listeners and their certificates. */
import { z } from "zod";
import { listenerEndpoint, networkOf } from "./config-address.ts";
import { filePath } from "./config-measures.ts";

/** A certificate of ours, and what is asked of clients. */
export const tlsSchema = z.strictObject({
  cert: filePath("PEM file with the certificate, and behind it those between it and the root."),
  key: filePath("PEM file with its private key, without passphrase."),
  ca: filePath(
    "PEM file with the certification authorities for certificates of clients.",
  ).optional(),
  requestClientCert: z
    .boolean()
    .default(false)
    .meta({ description: "Clients need a certificate signed by `ca`." }),
  minVersion: z
    .enum(["TLSv1.2", "TLSv1.3"])
    .default("TLSv1.2")
    .meta({ description: "Oldest version of TLS that is taken." }),
});

/** One place where clients connect. */
export const listenerSchema = z.strictObject({
  url: z
    .string()
    .superRefine((input, context) => {
      const endpoint = listenerEndpoint(input);
      if ("reason" in endpoint) context.addIssue({ code: "custom", message: endpoint.reason });
    })
    .meta({
      description:
        "Where to listen: `mqtt://host:port`, `mqtts://host:port`, `ws://host:port/path`, `wss://host:port/path` (no path means `/mqtt`), `rill://host:port/path`, `rills://host:port/path` (the native protocol alone, `docs/native-protocol.md`; no path means `/rill`) or `unix:///path` (`mqtt+unix:///path` is the same). Port 0 takes a free one; without port it is 1883, 8883, 80, 443, 7455, 7456.",
    }),
  tls: tlsSchema.optional().meta({
    description:
      "Certificate of this `mqtts`, `wss` or `rills` listener instead of the common one.",
  }),
  allowAnonymous: z.boolean().optional().meta({
    description:
      "Whether clients may come in here without a user name. By default as `allowAnonymous` says, or, without a users file, on loopback and unix sockets.",
  }),
  protocols: z
    .array(z.enum(["mqtt", "rill"]))
    .min(1, { error: "expected mqtt, rill or both" })
    .max(2)
    .optional()
    .meta({
      description:
        "Of `ws` and `wss`: what may be spoken, by the subprotocol that a client offers: `mqtt`, `rill` (the native protocol, whose clients may also make and delete streams and queues, where the rules let them). By default `mqtt` alone.",
    }),
  origins: z.array(z.string().min(1)).max(64).optional().meta({
    description:
      'Of `ws`, `wss`, `rill` and `rills`: origins of web pages that may connect, such as `https://app.example`; `"*"` for all. By default pages of the same host and port (on loopback only under the names of loopback), and programs that are no browsers.',
  }),
  proxyProtocol: z
    .strictObject({
      from: z
        .array(
          z.string().refine((text) => networkOf(text) !== undefined, {
            error: "expected a network such as 10.0.0.0/8 or fd00::/8, or an address",
          }),
        )
        .min(1, { error: "expected at least one network" })
        .max(64)
        .meta({
          description:
            "Networks of the proxies, such as `10.0.0.0/8`, or their addresses. Whoever connects from there must begin with a header, whoever connects from elsewhere must not.",
        }),
    })
    .optional()
    .meta({
      description:
        "PROXY protocol (version 1 or 2), not of `unix`: proxies in front of the listener say for whom they connect. That address then counts for limits and log entries, and for nothing else.",
    }),
  mode: z
    .string({ error: 'expected permissions in quotes, such as "0600"' })
    .regex(/^0?[0-7]{3}$/, { error: 'expected permissions such as "0600"' })
    .optional()
    .meta({ description: 'Of `unix`: permissions of the socket; by default `"0600"`.' }),
});
