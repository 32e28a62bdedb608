import type { Command } from "commander";
import type { ConfigError, ConfigFlags, LoadedConfig } from "../config.ts";
import { collect } from "./option-values.ts";

/** The options that say or replace configuration. */
export interface ConfigOptions extends ConfigFlags {
  readonly config?: string;
}

/** Adds the options of `ConfigOptions`. */
export function addConfigOptions(command: Command): Command {
  return command
    .option("--config <file>", "YAML file with settings (also RILLMQ_CONFIG)")
    .option(
      "--listen <url>",
      "listen here instead of mqtt://127.0.0.1:1883; port 0 takes a free one; may be repeated",
      collect,
    )
    .option("--data <dir>", 'data folder (default "./data")')
    .option("--http <host:port>", 'health and metrics (default "127.0.0.1:9883"), or "off"')
    .option("--tls-cert <file>", "certificate of mqtts://, wss:// and rills:// listeners, PEM")
    .option("--tls-key <file>", "its private key, PEM")
    .option("--tls-ca <file>", "certification authorities for certificates of clients, PEM")
    .option("--users <file>", "users and their passwords, see rillmq passwd")
    .option("--rules <file>", "who may publish and subscribe to what, YAML")
    .option("--allow-anonymous", "let clients without a user name come in, also beyond loopback");
}

/**
 * The configuration of options, environment and file; undefined after its mistakes were written to standard error.
 */
export async function readConfig(options: ConfigOptions): Promise<LoadedConfig | undefined> {
  const { ConfigError, loadConfigAndOrigin } = await import("../config.ts");
  try {
    const file = options.config ?? process.env["RILLMQ_CONFIG"];
    return loadConfigAndOrigin({
      file: file === "" ? undefined : file,
      env: process.env,
      flags: options,
    });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    writeMistakes(error);
    return undefined;
  }
}

function writeMistakes(error: ConfigError): void {
  process.stderr.write(`rillmq: ${error.message}\n`);
}
