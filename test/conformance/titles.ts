/**
 * Which tests show which statements: the title of a test says so, nothing else does.
 *
 * A title is a sentence that ends in the statements it shows, in square brackets:
 *
 *     test/conformance/v311/, test/conformance/v5/   "A second CONNECT ends the connection [MQTT-3.1.0-2]"
 *                                                    "… [MQTT-3.1.2-4, MQTT-3.1.2-5]"
 *     anywhere, with the version                     "… [v3.1.1 MQTT-3.1.0-2] [v5 MQTT-3.1.0-2, MQTT-4.13.1-1]"
 *
 * Without a version the folder decides; outside the two folders brackets without a version count for nothing. A dot may follow.
 * Titles are found in the text of the files: a literal on one line, also one in a table of cases. What is in `${}` is shown as `…`, so
 * the statements themselves are written out. That those tests run and pass is for `main.ts` to see.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { StandardVersion } from "./clauses.ts";

export const ROOT = join(import.meta.dirname, "..", "..");

const VERSIONS: Readonly<Record<string, StandardVersion>> = { "v3.1.1": "3.1.1", v5: "5" };
const FOLDERS: Readonly<Record<string, StandardVersion>> = {
  "test/conformance/v311/": "3.1.1",
  "test/conformance/v5/": "5",
};

const COMMENT_LINE = /^\s*(?:\/\/|\/?\*).*$/gm;
const LITERAL = /(["`])((?:(?!\1).)*\[[^[\]]*MQTT-[^[\]]*\]\.?)\1/g;
const BRACKETS = /((?:\s*\[[^[\]]*\])+)\.?$/;
const BRACKET = /\[([^[\]]*)\]/g;
const CONTENT = /^(?:(v3\.1\.1|v5) )?(MQTT-\d+\.\d+\.\d+-\d+(?:, MQTT-\d+\.\d+\.\d+-\d+)*)$/;

/** A statement that a title names. */
export interface Claim {
  readonly version: StandardVersion;
  readonly number: string;
}

/** A test that shows statements. */
export interface ClaimingTest {
  /** From the root of the repository. */
  readonly file: string;
  /** Without the statements. */
  readonly title: string;
  readonly claims: readonly Claim[];
}

/** The version that brackets without one mean in this file; undefined: none. */
export function versionOf(file: string): StandardVersion | undefined {
  return Object.entries(FOLDERS).find(([folder]) => file.startsWith(folder))?.[1];
}

/** The statements that a title names. @throws SyntaxError in the two folders, for brackets that are written in another way */
export function claimsOf(title: string, file: string): Claim[] {
  const folderVersion = versionOf(file);
  const brackets = BRACKETS.exec(title)?.[1] ?? "";
  return [...brackets.matchAll(BRACKET)].flatMap(([, text = ""]) => {
    const [, name, numbers] = CONTENT.exec(text) ?? [];
    const version = name === undefined ? folderVersion : VERSIONS[name];
    if (numbers === undefined && folderVersion !== undefined && text.includes("MQTT-")) {
      throw new SyntaxError(`${file}: [${text}] is not as titles.ts says`);
    }
    if (numbers === undefined || version === undefined) return [];
    return numbers.split(", ").map((number) => ({ version, number }));
  });
}

/** Every test in the repository whose title names statements. @throws SyntaxError as `claimsOf` */
export function claimingTests(): ClaimingTest[] {
  const files = readdirSync(join(ROOT, "test"), { recursive: true, encoding: "utf8" });
  return files
    .filter((file) => file.endsWith(".test.ts"))
    .map((file) => `test/${file}`)
    .sort()
    .flatMap((file) => testsIn(readFileSync(join(ROOT, file), "utf8"), file));
}

/** The tests in a file's text whose titles name statements; lines that are comments do not count. @throws SyntaxError as `claimsOf` */
export function testsIn(text: string, file: string): ClaimingTest[] {
  const code = text.replaceAll(COMMENT_LINE, "");
  return [...code.matchAll(LITERAL)].flatMap(([, , literal = ""]) => {
    const claims = claimsOf(literal, file);
    if (claims.length === 0) return [];
    const title = literal.replace(BRACKETS, "").replaceAll(/\$\{[^}]*\}/g, "…");
    return [{ file, title, claims }];
  });
}
