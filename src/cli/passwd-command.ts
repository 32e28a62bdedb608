import { existsSync } from "node:fs";
import { type Command, InvalidArgumentError } from "commander";
import {
  hashPassword,
  type PasswordHash,
  SCRYPT_COST,
  SCRYPT_ROUNDS_MAX,
} from "../access/password-hash.ts";
import {
  isWorldReadable,
  parseUsers,
  readAccessFile,
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
}

/** Longest password, in bytes: what a CONNECT can carry. */
const PASSWORD_BYTES_MAX = 65_535;

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

async function runAdd(name: string, options: AddOptions): Promise<ExitCode> {
  const mistake = userNameMistake(name);
  if (mistake !== undefined) return fail(ExitCode.usage, mistake);
  // A damaged file is told before anybody is asked for a password.
  textOf(options.file);
  const password = await askPassword(name, options.passwordStdin === true);
  if (typeof password !== "string") return fail(ExitCode.usage, password.reason);
  const bytes = Buffer.from(password);
  if (bytes.length === 0) return fail(ExitCode.usage, "the password is empty");
  if (bytes.length > PASSWORD_BYTES_MAX) return fail(ExitCode.usage, "the password is too long");
  const hash: PasswordHash = await hashPassword(bytes, { ...SCRYPT_COST, p: options.rounds });
  const text = existsSync(options.file) ? readAccessFile(options.file, "users-file-damaged") : "";
  const isNew = !parseUsers(text, options.file).has(name);
  writeUsersFile(options.file, withUser(text, name, hash));
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
    const shown = users.map(([user, { ln, r, p }]) => ({ user, scrypt: { ln, r, p } }));
    process.stdout.write(`${JSON.stringify(shown)}\n`);
  } else {
    for (const [user] of users) process.stdout.write(`${user}\n`);
  }
  return ExitCode.fine;
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
    .description("Prints the names of all users.")
    .requiredOption(...FILE)
    .option("--json", "print names and cost of their hashes as JSON")
    .action(async (options: FileOptions) => done(await onFile(() => runList(options))));
}
