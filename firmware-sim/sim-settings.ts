import { readFileSync } from "node:fs";
import { Command, InvalidArgumentError, Option } from "commander";
import { addressMistakes, FLEET_DEFAULTS, type FleetOptions } from "./fleet.ts";
import { integerFrom, numberAbove } from "./option-values.ts";
import {
  DEFAULT_PROFILE,
  decodeProfile,
  type Profile,
  type Protocol,
  scaleProfile,
} from "./profile.ts";
import { type ProfileFile, readProfileFile } from "./profile-file.ts";
import { isSecure, TRANSPORTS, transportOf } from "./transport.ts";

/** What is said nowhere else. */
const DEFAULTS = {
  url: "mqtt://127.0.0.1:1883",
  messages: 10_000,
  ratePerSecond: 50,
  outstandingMax: 20,
  seed: 1,
  protocol: "5",
  timeoutSeconds: 300,
} as const;

/** The flags of `npm run sim`; what is undefined was not given. */
export interface SimFlags {
  readonly url?: readonly string[];
  readonly ca?: string;
  readonly profileFile?: string;
  readonly profile?: Profile;
  readonly devices?: number;
  readonly messages?: number;
  readonly rate?: number;
  readonly outstanding?: number;
  readonly commands?: number;
  readonly ramp?: number;
  readonly seed?: number;
  readonly protocol?: Protocol;
  readonly timeout?: number;
  readonly json?: true;
}

/** What a run of `npm run sim` does. */
export interface SimSettings {
  readonly fleet: Omit<FleetOptions, "run">;
  readonly timeoutSeconds: number;
}

/** Flags or files say what cannot be done; the message is for the user. Exit code 2. */
export class SimSettingsError extends Error {
  override readonly name = "SimSettingsError";
}

function collectUrl(text: string, urls: readonly string[] = []): readonly string[] {
  if (transportOf(text) !== undefined) return [...urls, text];
  const known = TRANSPORTS.map((one) => `${one}://`).join(", ");
  throw new InvalidArgumentError(`one of ${known} with an address is needed`);
}

function profileOf(text: string): Profile {
  try {
    return decodeProfile(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

/** The command line of `npm run sim`. */
export function buildSimCommand(): Command {
  const known = TRANSPORTS.map((one) => `${one}://`).join(", ");
  return new Command("sim")
    .description(
      "A fleet of simulated devices talks to an MQTT broker and counts what it keeps of its promises.",
    )
    .option(
      "--url <url>",
      `broker: ${known}; may be repeated, devices take them by turns (default: ${DEFAULTS.url})`,
      collectUrl,
    )
    .option("--ca <file>", "certificates (PEM) to trust for mqtts:// and wss://")
    .option("--profile <kinds>", `kinds and counts (default: ${DEFAULT_PROFILE})`, profileOf)
    .option(
      "--profile-file <file>",
      "groups of devices and their settings in YAML; flags go over it",
    )
    .option(
      "--devices <count>",
      "devices in all, in the proportions of the profile",
      integerFrom(1, 10_000),
    )
    .option(
      "--messages <count>",
      `messages of the whole fleet (default: ${DEFAULTS.messages})`,
      integerFrom(1, 10_000_000),
    )
    .option(
      "--rate <perSecond>",
      `messages per second and device (default: ${DEFAULTS.ratePerSecond})`,
      numberAbove(0, 100_000),
    )
    .option(
      "--outstanding <count>",
      `most unacknowledged messages per device (default: ${DEFAULTS.outstandingMax})`,
      integerFrom(1, 10_000),
    )
    .option(
      "--commands <count>",
      `commands for each device that takes them (default: ${FLEET_DEFAULTS.commands})`,
      integerFrom(0, 10_000),
    )
    .option(
      "--ramp <perSecond>",
      `connections opened per second (default: ${FLEET_DEFAULTS.connectsPerSecond})`,
      numberAbove(0, 100_000),
    )
    .option("--seed <number>", "same seed, same fleet (default: 1)", integerFrom(0, 0xffff_ffff))
    .addOption(
      new Option(
        "--protocol <version>",
        "MQTT 3.1.1 (4), 5.0 (5) or both by turns (default: 5)",
      ).choices(["4", "5", "mixed"]),
    )
    .option(
      "--timeout <seconds>",
      `give up after (default: ${DEFAULTS.timeoutSeconds})`,
      numberAbove(0, 86_400),
    )
    .option("--json", "print one JSON object and nothing else on standard output")
    .allowExcessArguments(false)
    .exitOverride();
}

function authorities(file: string | undefined, urls: readonly string[]): string | undefined {
  if (file === undefined) return undefined;
  if (!urls.some(isSecure)) {
    throw new SimSettingsError(
      "certificates are for mqtts:// and wss://, and no address has these",
    );
  }
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new SimSettingsError(`cannot read certificates from ${file}: ${code}`);
  }
}

function profileFileOf({ profileFile, profile }: SimFlags): ProfileFile | undefined {
  if (profileFile === undefined) return undefined;
  if (profile === undefined) return readProfileFile(profileFile);
  throw new SimSettingsError("--profile and --profile-file exclude each other");
}

/**
 * Puts flags over the profile file over the defaults.
 * @throws SimSettingsError or ProfileFileError with what is wrong
 */
export function simSettings(flags: SimFlags): SimSettings {
  const file = profileFileOf(flags);
  const urls = flags.url ?? file?.urls ?? [DEFAULTS.url];
  const whole = file?.profile ?? flags.profile ?? decodeProfile(DEFAULT_PROFILE);
  const profile = flags.devices === undefined ? whole : scaleProfile(whole, flags.devices);
  const mistakes = addressMistakes({ urls, profile });
  if (mistakes.length > 0) throw new SimSettingsError(mistakes.join("\n"));
  return {
    fleet: {
      urls,
      ca: authorities(flags.ca ?? file?.ca, urls),
      profile,
      messages: flags.messages ?? file?.messages ?? DEFAULTS.messages,
      ratePerSecond: flags.rate ?? file?.ratePerSecond ?? DEFAULTS.ratePerSecond,
      outstandingMax: flags.outstanding ?? file?.outstandingMax ?? DEFAULTS.outstandingMax,
      seed: flags.seed ?? file?.seed ?? DEFAULTS.seed,
      protocol: flags.protocol ?? file?.protocol ?? DEFAULTS.protocol,
      connectsPerSecond: flags.ramp ?? file?.connectsPerSecond,
      keepAliveSeconds: file?.keepAliveSeconds,
      payloadBytes: file?.payloadBytes,
      commands: flags.commands ?? file?.commands,
      commandEveryMs: file?.commandEveryMs,
    },
    timeoutSeconds: flags.timeout ?? file?.timeoutSeconds ?? DEFAULTS.timeoutSeconds,
  };
}
