/** From configuration to running uplinks. Drivers are loaded only where they are configured. */
import type { Broker } from "./broker/broker.ts";
import type { Store } from "./broker/store.ts";
import type { Config, UplinkConfig } from "./config.ts";
import type { Clock } from "./lib/clock.ts";
import type { Random } from "./lib/random.ts";
import type { Log } from "./telemetry/log.ts";
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
            : [{ stream: stream.name, log: stream.log, class: lane.class }];
        }),
        driver: await driverOf(settings),
        log,
        ledger: (entry) => log("warn", "records lost", { uplink: settings.name, ...entry }),
        windowMax: settings.window,
        inflightBytesMax: settings.inflightBytesMax,
        backoffMinMs: settings.backoffMinMs,
        backoffMaxMs: settings.backoffMaxMs,
        stableMs: settings.backoffResetMs,
        connectTimeoutMs: settings.connectTimeoutMs,
        progressDeadlineMinMs: settings.progressDeadlineMs,
      }),
    );
  }
  return uplinks;
}

async function driverOf(settings: UplinkConfig): Promise<Driver> {
  const { urls, username, password } = settings;
  const secret = password === undefined ? {} : { password };
  if (settings.driver === "nats") {
    const { NatsDriver } = await import("./uplink/drivers/nats.ts");
    const user = username === undefined ? {} : { user: username };
    const token = settings.token === undefined ? {} : { token: settings.token };
    return new NatsDriver({ urls, ...user, ...secret, ...token });
  }
  const { MqttDriver } = await import("./uplink/drivers/mqtt.ts");
  const { topicPrefix, protocolVersion, clientId } = settings;
  const name = username === undefined ? {} : { username };
  const id = clientId === undefined ? {} : { clientId };
  return new MqttDriver({ urls, topicPrefix, protocolVersion, ...name, ...secret, ...id });
}
