/** From configuration to running uplinks. Drivers are loaded only where they are configured. */
import type { Broker } from "./broker/broker.ts";
import type { Store } from "./broker/store.ts";
import type { Config, UplinkConfig } from "./config.ts";
import type { Clock } from "./lib/clock.ts";
import type { Random } from "./lib/random.ts";
import type { Log } from "./telemetry/log.ts";
import type { CredentialSources } from "./uplink/credentials.ts";
import type { LaneSettings } from "./uplink/lane.ts";
import type { Driver } from "./uplink/remote.ts";
import type { Uplink } from "./uplink/uplink.ts";

export interface UplinkContext {
  readonly edgeId: string;
  readonly store: Store;
  readonly broker: Broker;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** One uplink per entry of the configuration, not started. */
export async function buildUplinks(config: Config, context: UplinkContext): Promise<Uplink[]> {
  if (config.uplinks.length === 0) return [];
  const { Uplink } = await import("./uplink/uplink.ts");
  const uplinks: Uplink[] = [];
  for (const settings of config.uplinks) {
    const { broker, log, ...rest } = context;
    uplinks.push(
      new Uplink({
        ...rest,
        name: settings.name,
        lanes: settings.lanes.flatMap((lane) => {
          const stream = broker.streams.all.find(({ name }) => name === lane.stream);
          return stream === undefined
            ? []
            : [{ ...laneOf(lane), stream: stream.name, log: stream.log }];
        }),
        driver: await driverOf(settings),
        log,
        windowMax: settings.window,
        inflightBytesMax: settings.inflightBytesMax,
        backoffMinMs: settings.backoffMinMs,
        backoffMaxMs: settings.backoffMaxMs,
        stableMs: settings.backoffResetMs,
        connectTimeoutMs: settings.connectTimeoutMs,
        progressDeadlineMinMs: settings.progressDeadlineMs,
        slowRetryMs: settings.slowRetryMs,
        deadLetterBytesMax: settings.deadLetterBytesMax,
        pin: settings.pin,
      }),
    );
  }
  return uplinks;
}

type LaneConfig = UplinkConfig["lanes"][number];

/** A lane's settings beside its stream. */
function laneOf(lane: LaneConfig): Omit<LaneSettings, "stream" | "log"> {
  const { class: laneClass, name, filters, topic, maxQos } = lane;
  return {
    class: laneClass,
    ...(name === undefined ? {} : { name }),
    ...(filters === undefined ? {} : { filters }),
    ...(topic === undefined ? {} : { topic }),
    ...(maxQos === undefined ? {} : { maxQos }),
  };
}

async function driverOf(settings: UplinkConfig): Promise<Driver> {
  const { urls } = settings;
  const common = { urls, ...credentialsOf(settings) };
  if (settings.driver === "nats") {
    const { NatsDriver } = await import("./uplink/drivers/nats.ts");
    return new NatsDriver(common);
  }
  const { MqttDriver } = await import("./uplink/drivers/mqtt.ts");
  const { topicPrefix, protocolVersion, clientId } = settings;
  const id = clientId === undefined ? {} : { clientId };
  return new MqttDriver({ ...common, topicPrefix, protocolVersion, ...id });
}

/** Those that are set. */
function credentialsOf(settings: UplinkConfig): CredentialSources {
  const { username, password, passwordFile, tls } = settings;
  const natsOnly =
    settings.driver === "nats"
      ? {
          token: settings.token,
          tokenFile: settings.tokenFile,
          credentialsFile: settings.credentialsFile,
        }
      : {};
  const given = { username, password, passwordFile, tls, ...natsOnly };
  return Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  ) as CredentialSources;
}
