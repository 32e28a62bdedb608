import { existsSync } from "node:fs";
import { type Command, InvalidArgumentError } from "commander";
import { hashPassword, SCRYPT_COST, SCRYPT_ROUNDS_MAX } from "../access/password-hash.ts";
import { saslprep } from "../access/saslprep.ts";
import { SCRAM_SHA_256 } from "../access/scram-authenticator.ts";
import {
  SCRAM_ITERATIONS,
  SCRAM_ITERATIONS_MAX,
  SCRAM_ITERATIONS_MIN,
  type ScramVerifier,
  scramVerifierOf,
} from "../access/scram-verifier.ts";
import {
  isWorldReadable,
  parseUsers,
  readAccessFile,
  type User,
  userNameMistake,
  withoutUser,
  withUser,
  writeUsersFile,
} from "../access/users-file.ts";
import { OperatingError } from "../lib/operating-error.ts";
import { ExitCode } from "./exit-code.ts";
import { countValue } from "./option-values.ts";
import { promptPassword, readPassword } from "./password-prompt.ts";

interface FileOptions {
  readonly file: string;
  readonly json?: boolean;
}

interface AddOptions extends FileOptions {
  readonly passwordStdin?: boolean;
  readonly rounds: number;
  readonly scram?: boolean;
  readonly scramIterations: number;
}

/** Longest password, in bytes: what a CONNECT can carry. */
const PASSWORD_BYTES_MAX = 65_535;
const NOT_FOR_SCRAM = "the password has characters that SCRAM does not allow";

function fail(exitCode: ExitCode, reason: string): ExitCode {
  process.stderr.write(`rillmq passwd: ${reason}\n`);
  return exitCode;
}

function tell(options: FileOptions, text: string, fields: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${options.json === true ? JSON.stringify(fields) : text}\n`);
}

/** The file's text; "" when there is no file yet. Says so when everybody may read it. */
function textOf(path: string): string {
  if (!existsSync(path)) return "";
  if (isWorldReadable(path)) {
    process.stderr.write(`rillmq passwd: everybody on this machine may read ${path}: chmod 600\n`);
  }
  const text = readAccessFile(path, "users-file-damaged");
  parseUsers(text, path);
  return text;
}

/** Runs a command on the file; what is wrong with the file is usage. */
async function onFile(work: () => ExitCode | Promise<ExitCode>): Promise<ExitCode> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof OperatingError) return fail(ExitCode.usage, error.message);
    if (error instanceof Error && "code" in error) return fail(ExitCode.usage, error.message);
    throw error;
  }
}

/** The new password, or why there is none. */
async function askPassword(
  name: string,
  fromStdin: boolean,
): Promise<string | { readonly reason: string }> {
  if (fromStdin) return readPassword(process.stdin);
  if (!process.stdin.isTTY) {
    return { reason: "standard input is no terminal: give the password with --password-stdin" };
  }
  const password = await promptPassword(process.stdin, `Password for ${name}: `);
  if (password === undefined) return { reason: "interrupted" };
  const again = await promptPassword(process.stdin, "Again: ");
  return again === password ? password : { reason: "the two passwords differ" };
}

/** Why nobody could use this user name in SCRAM; undefined: it is fine. */
const scramMistake = (name: string): string | undefined =>
  saslprep(name) === name ? undefined : "SCRAM would write this user name in another way";

async function runAdd(name: string, options: AddOptions): Promise<ExitCode> {
  const mistake =
    userNameMistake(name) ?? (options.scram === true ? scramMistake(name) : undefined);
  if (mistake !== undefined) return fail(ExitCode.usage, mistake);
  // A damaged file is told before anybody is asked for a password.
  textOf(options.file);
  const password = await askPassword(name, options.passwordStdin === true);
  if (typeof password !== "string") return fail(ExitCode.usage, password.reason);
  const bytes = Buffer.from(password);
  if (bytes.length === 0) return fail(ExitCode.usage, "the password is empty");
  if (bytes.length > PASSWORD_BYTES_MAX) return fail(ExitCode.usage, "the password is too long");
  let scram: ScramVerifier | undefined;
  if (options.scram === true) {
    if ((saslprep(password) ?? "") === "") return fail(ExitCode.usage, NOT_FOR_SCRAM);
    scram = await scramVerifierOf(password, options.scramIterations);
  }
  const hash = await hashPassword(bytes, { ...SCRYPT_COST, p: options.rounds });
  const text = existsSync(options.file) ? readAccessFile(options.file, "users-file-damaged") : "";
  const isNew = !parseUsers(text, options.file).has(name);
  writeUsersFile(options.file, withUser(text, name, { password: hash, scram }));
  const what = isNew ? "added" : "changed";
  tell(options, `${what} ${name}`, { user: name, [what]: true });
  return ExitCode.fine;
}

function runRemove(name: string, options: FileOptions): ExitCode {
  const rest = withoutUser(textOf(options.file), name);
  if (rest === undefined) return fail(ExitCode.negative, `there is no user "${name}"`);
  writeUsersFile(options.file, rest);
  tell(options, `removed ${name}`, { user: name, removed: true });
  return ExitCode.fine;
}

function runList(options: FileOptions): ExitCode {
  if (!existsSync(options.file)) return fail(ExitCode.usage, `there is no file ${options.file}`);
  const users = [...parseUsers(textOf(options.file), options.file)];
  if (options.json === true) {
    const shown = users.map(([user, { password, scram }]) => {
      const { ln, r, p } = password;
      const methods = methodsOf(scram);
      const cost = scram === undefined ? {} : { scram: { iterations: scram.iterations } };
      return { user, methods, scrypt: { ln, r, p }, ...cost };
    });
    process.stdout.write(`${JSON.stringify(shown)}\n`);
  } else {
    for (const [user, { scram }] of users) {
      process.stdout.write(`${user}\t${methodsOf(scram).join(" ")}\n`);
    }
  }
  return ExitCode.fine;
}

/** How a user can come in. */
const methodsOf = (scram: User["scram"]): string[] =>
  scram === undefined ? ["password"] : ["password", SCRAM_SHA_256];

function iterationsValue(text: string): number {
  const iterations = countValue(text);
  if (iterations >= SCRAM_ITERATIONS_MIN && iterations <= SCRAM_ITERATIONS_MAX) return iterations;
  throw new InvalidArgumentError(`Expected ${SCRAM_ITERATIONS_MIN} to ${SCRAM_ITERATIONS_MAX}.`);
}

function roundsValue(text: string): number {
  const rounds = countValue(text);
  if (rounds <= SCRYPT_ROUNDS_MAX) return rounds;
  throw new InvalidArgumentError(`Expected 1 to ${SCRYPT_ROUNDS_MAX}.`);
}

/** `rillmq passwd add|rm|ls`. */
export function addPasswdCommand(program: Command, done: (exitCode: number) => void): void {
  const passwd = program.command("passwd").description("Edits a users file, see serve --users.");
  const FILE = ["--file <path>", "the users file"] as const;
  passwd
    .command("add <name>")
    .description("Adds a user or changes the password; asks for it on the terminal.")
    .requiredOption(...FILE)
    .option("--password-stdin", "read the password from standard input")
    .option(
      "--rounds <n>",
      "work per check, 1 to 16: more for passwords people choose",
      roundsValue,
      1,
    )
    .option("--scram", "let the user in by SCRAM-SHA-256, too")
    .option(
      "--scram-iterations <n>",
      "work of the client per SCRAM exchange: less for small devices with drawn passwords",
      iterationsValue,
      SCRAM_ITERATIONS,
    )
    .option("--json", "print what was done as JSON")
    .action(async (name: string, options: AddOptions) =>
      done(await onFile(() => runAdd(name, options))),
    );
  passwd
    .command("rm <name>")
    .description("Removes a user; exits 1 when there is none.")
    .requiredOption(...FILE)
    .option("--json", "print what was done as JSON")
    .action(async (name: string, options: FileOptions) =>
      done(await onFile(() => runRemove(name, options))),
    );
  passwd
    .command("ls")
    .description("Prints the names of all users and how each can come in.")
    .requiredOption(...FILE)
    .option("--json", "print names and cost of their hashes as JSON")
    .action(async (options: FileOptions) => done(await onFile(() => runList(options))));
}
