/**
 * Users and rules in force, and what happens when their files change. At the start a damaged file ends the start. Later what was in force
 * stays in force, loudly: nobody is let in or kept out by half a file.
 */
import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import type { Authenticator, Principal } from "../broker/authenticator.ts";
import { Authorization, type Rule } from "../broker/authorization.ts";
import type { EnhancedAuthenticator } from "../broker/enhanced-authenticator.ts";
import { watchFiles } from "../files/file-watch.ts";
import { LogThrottle } from "./log-throttle.ts";
import { PasswordAuthenticator } from "./password-authenticator.ts";
import { PasswordVerifier } from "./password-verifier.ts";
import { ScramAuthenticator } from "./scram-authenticator.ts";
import { readSecret, SECRET_BYTES } from "./secret-file.ts";
import { formatUser, isWorldReadable, readUsers, type Users } from "./users-file.ts";

export interface AccessSettings {
  readonly usersFile?: string | undefined;
  readonly rulesFile?: string | undefined;
  readonly verificationsMax: number;
  readonly verificationsWaitingMax: number;
  readonly verifiedForMs: number;
}

export type AccessLog = (
  level: "info" | "warn" | "error",
  event: string,
  fields?: Readonly<Record<string, unknown>>,
) => void;

/** Reads a rules file; throws OperatingError `rules-file-damaged`. */
export type RulesReader = (path: string) => readonly Rule[];

/** Who is to act when what is in force changes. */
export interface AccessListener {
  /** Answers of the authorizer may be others now. */
  onPolicyChanged(): void;
  /** Connections of these principals end: the users are gone, or have other passwords. */
  endConnectionsOf(isGone: (principal: Principal) => boolean): void;
}

/** Entries per second about those who were not let in, and as many about what was denied. */
const ENTRIES_PER_SECOND = 5;

/** Threads that libuv has when the environment does not say. */
const THREADS = 4;

/** How many passwords are checked at a time: one thread is always left to the store's commits, if there are two. */
export function runningMax(wanted: number, threadPoolSize: string | undefined): number {
  const threads = /^[1-9]\d*$/.test(threadPoolSize ?? "") ? Number(threadPoolSize) : THREADS;
  return Math.max(1, Math.min(wanted, threads - 1));
}

export class AccessControl {
  readonly authenticator: Authenticator;
  readonly enhancedAuthenticator: EnhancedAuthenticator;
  readonly authorization: Authorization;
  readonly #settings: AccessSettings;
  readonly #log: AccessLog;
  readonly #readRules: RulesReader;
  readonly #passwords: PasswordAuthenticator;
  readonly #scram: ScramAuthenticator;
  readonly #stops: (() => void)[] = [];
  #users: Users | undefined;
  #rules: readonly Rule[] | undefined;
  #listener: AccessListener | undefined;

  /**
   * Reads the files. `readRules` is handed in because it brings a parser of YAML along: it is asked only where there is a rules file.
   * @throws OperatingError `users-file-damaged`, `rules-file-damaged`
   */
  constructor(settings: AccessSettings, log: AccessLog, readRules: RulesReader) {
    const { usersFile, rulesFile } = settings;
    this.#settings = settings;
    this.#log = log;
    this.#readRules = readRules;
    // Before they are read, so that no change is missed.
    this.#watch(usersFile, (path) => this.#reloadUsers(path));
    this.#watch(rulesFile, (path) => this.#reloadRules(path));
    try {
      this.#users = usersFile === undefined ? undefined : readUsers(usersFile);
      this.#rules = rulesFile === undefined ? undefined : readRules(rulesFile);
    } catch (error) {
      this.close();
      throw error;
    }
    const verifier = new PasswordVerifier({
      runningMax: runningMax(settings.verificationsMax, process.env["UV_THREADPOOL_SIZE"]),
      waitingMax: settings.verificationsWaitingMax,
      rememberMs: settings.verifiedForMs,
    });
    const failed = this.#throttled("a client was not let in");
    this.#passwords = new PasswordAuthenticator(this.#users, verifier, (one) => failed({ ...one }));
    this.#scram = new ScramAuthenticator(this.#users, randomBytes(SECRET_BYTES), (one) =>
      failed({ ...one }),
    );
    this.authenticator = this.#passwords;
    this.enhancedAuthenticator = this.#scram;
    const denied = this.#throttled("the rules deny this");
    this.authorization = new Authorization(this.#policy(), ({ principal: user, ...denial }) =>
      denied({ ...denial, user }),
    );
    this.#tellUsers();
  }

  /**
   * Takes the secret that must outlive this process from a file in the data folder; makes it when it is not there.
   * @throws Error of the file system
   */
  keepSecretIn(folder: string): void {
    this.#scram.useSecret(readSecret(folder));
  }

  /** Tells it about changes from now on. */
  listen(listener: AccessListener): void {
    this.#listener = listener;
  }

  /** Reads both files now, changed or not. */
  reload(): void {
    const { usersFile, rulesFile } = this.#settings;
    if (usersFile !== undefined) this.#reloadUsers(usersFile);
    if (rulesFile !== undefined) this.#reloadRules(rulesFile);
  }

  /** Looks for changes no more. */
  close(): void {
    for (const stop of this.#stops) stop();
  }

  #watch(path: string | undefined, onChanged: (path: string) => void): void {
    if (path !== undefined) this.#stops.push(watchFiles([path], () => onChanged(path)));
  }

  #reloadUsers(path: string): void {
    const before = this.#users;
    try {
      this.#users = readUsers(path);
    } catch (error) {
      this.#keepOld("users", error);
      return;
    }
    this.#passwords.replaceUsers(this.#users);
    this.#scram.replaceUsers(this.#users);
    this.#tellUsers();
    this.#onChanged();
    const stay = new Set<string>();
    for (const [name, user] of this.#users) {
      const old = before?.get(name);
      if (old !== undefined && formatUser(old) === formatUser(user)) stay.add(name);
    }
    this.#listener?.endConnectionsOf((user) => user !== undefined && !stay.has(user));
  }

  #reloadRules(path: string): void {
    try {
      this.#rules = this.#readRules(path);
    } catch (error) {
      this.#keepOld("rules", error);
      return;
    }
    this.#log("info", "rules loaded", { file: path, rules: this.#rules.length });
    this.#onChanged();
  }

  #onChanged(): void {
    this.authorization.replace(this.#policy());
    this.#listener?.onPolicyChanged();
  }

  #keepOld(what: string, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#log("error", `the changed ${what} file cannot be used: the ${what} before stay`, {
      reason,
    });
  }

  #policy(): { rules: readonly Rule[] | undefined; users: ReadonlySet<string> | undefined } {
    const users = this.#users === undefined ? undefined : new Set(this.#users.keys());
    return { rules: this.#rules, users };
  }

  #tellUsers(): void {
    const { usersFile: file } = this.#settings;
    if (file === undefined || this.#users === undefined) return;
    this.#log("info", "users loaded", { file, users: this.#users.size });
    if (isWorldReadable(file)) {
      this.#log("warn", "everybody on this machine may read the users file: chmod 600", { file });
    }
  }

  #throttled(event: string): (fields: Readonly<Record<string, unknown>>) => void {
    const throttle = new LogThrottle(ENTRIES_PER_SECOND, () => performance.now());
    return (fields) => {
      const suppressed = throttle.admit();
      if (suppressed === undefined) return;
      this.#log("warn", event, suppressed === 0 ? fields : { ...fields, suppressed });
    };
  }
}
