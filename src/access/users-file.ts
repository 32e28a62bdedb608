/**
 * The users file: one user per line, `NAME:HASH` (see password-hash.ts) or `NAME:HASH:VERIFIER` (see scram-verifier.ts), empty lines and
 * lines that begin with `#` aside. Changes keep all other lines as they are.
 */
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { OperatingError } from "../lib/operating-error.ts";
import { formatPasswordHash, type PasswordHash, parsePasswordHash } from "./password-hash.ts";
import { formatScramVerifier, parseScramVerifier, type ScramVerifier } from "./scram-verifier.ts";

/** What is known of one user. */
export interface User {
  readonly password: PasswordHash;
  /** Undefined: cannot use SCRAM. */
  readonly scram: ScramVerifier | undefined;
}

/** The users of a file by name. */
export type Users = ReadonlyMap<string, User>;

/** Two users are the same exactly when this is: what stands behind the name in the file. */
export function formatUser({ password, scram }: User): string {
  const hash = formatPasswordHash(password);
  return scram === undefined ? hash : `${hash}:${formatScramVerifier(scram)}`;
}

const NAME_BYTES_MAX = 256;
/** Larger files are refused. */
export const ACCESS_FILE_BYTES_MAX = 8 * 1_048_576;
/** Names that mean something else in rules. */
const RESERVED: ReadonlySet<string> = new Set(["anonymous", "*"]);
const FILE_MODE = 0o600;
const READABLE_BY_OTHERS = 0o004;

/** Why nobody can have this user name; undefined: it is fine. */
export function userNameMistake(name: string): string | undefined {
  if (name === "") return "a user name has at least one character";
  if (RESERVED.has(name)) return `"${name}" has a meaning of its own in rules`;
  if (Buffer.byteLength(name) > NAME_BYTES_MAX)
    return `a user name has at most ${NAME_BYTES_MAX} bytes`;
  if (name.startsWith("#")) return "a user name does not begin with #";
  if (/[:\p{Cc}]/u.test(name)) return "a user name has no colon and no control characters";
  return name.trim() === name ? undefined : "a user name does not begin or end with space";
}

const damaged = (where: string, what: string): OperatingError =>
  new OperatingError("users-file-damaged", `${where}: ${what}`);

const isUserLine = (line: string): boolean => line.trim() !== "" && !line.startsWith("#");

const nameOfLine = (line: string): string => line.slice(0, Math.max(0, line.indexOf(":")));

/**
 * Reads a file's text. What is wrong is told by its line number, never by its content.
 * @throws OperatingError `users-file-damaged`
 */
export function parseUsers(text: string, path: string): Users {
  const users = new Map<string, User>();
  for (const [index, line] of linesOf(text).entries()) {
    if (!isUserLine(line)) continue;
    const where = `${path} line ${index + 1}`;
    const colon = line.indexOf(":");
    if (colon < 0) throw damaged(where, "expected NAME:HASH");
    const name = line.slice(0, colon);
    const mistake = userNameMistake(name);
    if (mistake !== undefined) throw damaged(where, mistake);
    if (users.has(name)) throw damaged(where, `"${name}" is there twice`);
    users.set(name, parseUser(line.slice(colon + 1).trimEnd(), where));
  }
  return users;
}

function parseUser(text: string, where: string): User {
  const colon = text.indexOf(":");
  const password = parsePasswordHash(colon < 0 ? text : text.slice(0, colon));
  if (password === undefined) {
    throw damaged(
      where,
      "expected a hash as rillmq passwd writes it ($scrypt$ln=…, at most 16 MiB)",
    );
  }
  if (colon < 0) return { password, scram: undefined };
  const scram = parseScramVerifier(text.slice(colon + 1));
  if (scram === undefined) {
    throw damaged(where, "expected a verifier as rillmq passwd --scram writes it behind the hash");
  }
  return { password, scram };
}

const linesOf = (text: string): string[] => text.split(/\r?\n/);

/**
 * Reads a small file that says who may do what.
 * @throws OperatingError with this code when it cannot be read or is too large
 */
export function readAccessFile(path: string, code: string): string {
  try {
    const { size } = statSync(path);
    if (size > ACCESS_FILE_BYTES_MAX)
      throw new RangeError(`more than ${ACCESS_FILE_BYTES_MAX} bytes`);
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    const why = error instanceof Error && "code" in error ? error.code : String(error);
    throw new OperatingError(code, `cannot read ${path}: ${String(why)}`, { cause: error });
  }
}

/**
 * The users in a file.
 * @throws OperatingError `users-file-damaged`
 */
export function readUsers(path: string): Users {
  return parseUsers(readAccessFile(path, "users-file-damaged"), path);
}

/** True when everybody on this machine may read it. */
export function isWorldReadable(path: string): boolean {
  return ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & READABLE_BY_OTHERS) !== 0;
}

/** The text with this user added at its end, or with another password in the same line. */
export function withUser(text: string, name: string, user: User): string {
  const line = `${name}:${formatUser(user)}`;
  const lines = linesOf(text);
  const at = lines.findIndex((known) => isUserLine(known) && nameOfLine(known) === name);
  if (at >= 0) lines[at] = line;
  else lines.splice(lines[lines.length - 1] === "" ? -1 : lines.length, 0, line);
  return ended(lines);
}

/** The text without this user; undefined when there is none. */
export function withoutUser(text: string, name: string): string | undefined {
  const lines = linesOf(text);
  const rest = lines.filter((line) => !isUserLine(line) || nameOfLine(line) !== name);
  return rest.length === lines.length ? undefined : ended(rest);
}

const ended = (lines: readonly string[]): string => `${lines.join("\n").replace(/\n*$/, "")}\n`;

/**
 * Replaces the file in one step: readers see the old one or the new one. Its mode becomes 0600. A link stays a link.
 * @throws Error of the file system
 */
export function writeUsersFile(path: string, text: string): void {
  const target =
    statSync(path, { throwIfNoEntry: false }) === undefined ? path : realpathSync(path);
  const temporary = `${target}.${randomBytes(6).toString("hex")}.new`;
  try {
    const file = openSync(temporary, "wx", FILE_MODE);
    try {
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    chmodSync(temporary, FILE_MODE);
    renameSync(temporary, target);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncFolder(dirname(target));
}

/** So that the new name is on disk, too. */
function syncFolder(folder: string): void {
  const handle = openSync(folder, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
