/**
 * Which client works with RillMQ over which transport in which version of MQTT: `test/integration/interoperability.test.ts` tries every
 * cell that says so. `node --import tsx test/support/interoperability-table.ts` writes docs/interoperability.md.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export const TRANSPORTS = ["mqtt", "mqtts", "ws", "wss", "unix"] as const;
export type Transport = (typeof TRANSPORTS)[number];

/** Levels of the protocol as CONNECT has them. */
export const VERSION_NAMES = { 3: "3.1", 4: "3.1.1", 5: "5.0" } as const;
export type Version = keyof typeof VERSION_NAMES;

export const CLIENTS = {
  mqttJs: "MQTT.js",
  mosquitto: "mosquitto_pub, mosquitto_sub",
  pahoPython: "Paho Python",
  pahoC: "Paho C",
  curl: "curl",
} as const;
export type ClientName = keyof typeof CLIENTS;

interface Row {
  readonly client: ClientName;
  readonly version: Version;
  /** Those that the client has. */
  readonly transports: readonly Transport[];
}

const rows = (
  client: ClientName,
  versions: readonly Version[],
  transports: readonly Transport[],
): Row[] => versions.map((version) => ({ client, version, transports }));

export const ROWS: readonly Row[] = [
  ...rows("mqttJs", [3, 4, 5], TRANSPORTS),
  ...rows("mosquitto", [3, 4, 5], ["mqtt", "mqtts", "unix"]),
  ...rows("pahoPython", [3, 4, 5], ["mqtt", "mqtts", "ws", "wss"]),
  ...rows("pahoC", [3, 4, 5], ["mqtt", "mqtts", "ws", "wss"]),
  ...rows("curl", [4], ["mqtt"]),
];

const HEAD = `# Interoperability

<!-- Made by test/support/interoperability-table.ts; do not edit. -->

Each \`ok\` is a test: the client publishes a retained message over that transport and gets it as a new subscriber, with QoS 2 (curl has QoS 0
only). \`–\` is what the client itself cannot do, in the versions that Debian stable and npm have. \`npm test -- interoperability\` tries them
all and skips, with a line that says so, clients that are not installed. More of MQTT.js, mosquitto and Paho Python (durable sessions, wills,
all QoS) is in \`test/integration/interoperability.test.ts\`.

`;

/** The whole text of docs/interoperability.md. */
export function interoperabilityDoc(): string {
  const head = ["Client", "MQTT", ...TRANSPORTS.map((transport) => `\`${transport}:\``)];
  const body = ROWS.map(({ client, version, transports }) => [
    CLIENTS[client],
    VERSION_NAMES[version],
    ...TRANSPORTS.map((transport) => (transports.includes(transport) ? "ok" : "–")),
  ]);
  const lines = [head, head.map(() => "---"), ...body].map((cells) => `| ${cells.join(" | ")} |`);
  return `${HEAD}${lines.join("\n")}\n`;
}

if (process.argv[1] === import.meta.filename) {
  const docs = join(import.meta.dirname, "..", "..", "docs");
  writeFileSync(join(docs, "interoperability.md"), interoperabilityDoc());
}
